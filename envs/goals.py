"""Distributions of tasks: their spaces, sampling, and rewards for the motion of a robot."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.spaces import Box

from metarl.ranges import Positive, checked

ROUNDING = 1e-6  # tolerance for tasks that were rounded to float32


class Goals(ABC):
    """A distribution over tasks. A task is a float64 vector; n tasks are an array [n, task]."""

    space: Box

    @checked
    def __init__(self, low: float | Sequence[float], high: float | Sequence[float]) -> None:
        if np.shape(low) != np.shape(high) or np.any(np.greater(low, high)):
            raise ValueError(f"low is {low} and high is {high}: give as many numbers in both, with low ≤ high")
        self.space = Box(np.atleast_1d(low), np.atleast_1d(high), dtype=np.float64)

    @abstractmethod
    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Sample n tasks, [n, task]."""

    def allows(self, tasks: np.ndarray) -> np.ndarray:
        """Which of the tasks [n, task] are valid, [n] bool."""
        inside = (tasks >= self.space.low - ROUNDING) & (tasks <= self.space.high + ROUNDING)
        return np.all(inside, axis=1)

    @property
    def allowed(self) -> str:
        """A description of valid tasks for error messages."""
        return f"finite values between {self.space.low.tolist()} and {self.space.high.tolist()}"


class Uniform(Goals):
    """Tasks of independent numbers with uniform distributions between low and high."""

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        return rng.uniform(self.space.low, self.space.high, (n, len(self.space.low)))


class MotionGoals(Goals):
    """Goals that determine a reward for the motion of a robot."""

    @abstractmethod
    def score(self, tasks: np.ndarray, position: np.ndarray, velocity: np.ndarray) -> np.ndarray:
        """The reward [n] for position [n, 1 or 2] (m) and velocity [n, 1 or 2] (m/s) in tasks [n, task]."""


class TargetVelocity(MotionGoals):
    """A forward velocity g ~ U[low, high] (m/s). The reward is −|v − g|."""

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        return rng.uniform(self.space.low, self.space.high, (n, 1))

    def score(self, tasks: np.ndarray, position: np.ndarray, velocity: np.ndarray) -> np.ndarray:
        return -np.abs(velocity[:, 0] - tasks[:, 0])


class Direction(MotionGoals):
    """A direction d, forward (+1) or backward (−1) with equal probability. The reward is d·v."""

    def __init__(self) -> None:
        super().__init__(-1.0, 1.0)

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        return rng.choice([-1.0, 1.0], (n, 1))

    def allows(self, tasks: np.ndarray) -> np.ndarray:
        return np.abs(tasks[:, 0]) == 1.0

    @property
    def allowed(self) -> str:
        return "-1 (backward) or +1 (forward)"

    def score(self, tasks: np.ndarray, position: np.ndarray, velocity: np.ndarray) -> np.ndarray:
        return tasks[:, 0] * velocity[:, 0]


class Heading(MotionGoals):
    """A direction in the plane, an angle ~ U[0, 2π) (rad, anticlockwise from +x). The reward is the velocity in it."""

    def __init__(self) -> None:
        super().__init__(0.0, 2.0 * np.pi)

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        return rng.uniform(self.space.low, self.space.high, (n, 1))

    def score(self, tasks: np.ndarray, position: np.ndarray, velocity: np.ndarray) -> np.ndarray:
        return velocity[:, 0] * np.cos(tasks[:, 0]) + velocity[:, 1] * np.sin(tasks[:, 0])


class Square(MotionGoals):
    """A point ~ U[−half, half]² (m). The reward is the negative L1 distance to it."""

    @checked
    def __init__(self, half: Positive) -> None:
        super().__init__([-half, -half], [half, half])

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        return rng.uniform(self.space.low, self.space.high, (n, 2))

    def score(self, tasks: np.ndarray, position: np.ndarray, velocity: np.ndarray) -> np.ndarray:
        return -np.abs(position - tasks).sum(axis=1)


class Disc(Square):
    """A point with a uniform distribution in a disc of this radius (m), with the reward and the space of `Square`."""

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        angle = rng.uniform(0.0, 2.0 * np.pi, n)
        radius = self.space.high[0] * np.sqrt(rng.uniform(0.0, 1.0, n))  # √u, for a uniform density
        return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


class Corners(Goals):
    """One of the four corners (±size, ±size), with equal probabilities."""

    @checked
    def __init__(self, size: Positive) -> None:
        super().__init__([-size, -size], [size, size])
        self.corners = size * np.array([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]])  # [4, 2]

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        return self.corners[rng.integers(4, size=n)]

    def allows(self, tasks: np.ndarray) -> np.ndarray:
        return np.all(np.abs(tasks) == self.space.high, axis=1)

    @property
    def allowed(self) -> str:
        return f"one of the corners {self.corners.tolist()}"


def task_in_words(task: Any) -> str:
    """A task as error messages show it, abbreviated if it is long."""
    values = task.tolist() if isinstance(task, np.ndarray | np.generic) else task
    if isinstance(values, list) and len(values) > 4:
        return f"[{', '.join(map(str, values[:4]))}, … {len(values)} numbers]"
    text = str(values).replace("\n", " ")
    return text if len(text) <= 80 else f"{text[:76]} …"
