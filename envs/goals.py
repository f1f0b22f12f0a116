"""What an environment can be asked for: spaces of tasks, how they are drawn, and how motion is scored against them."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from gymnasium.spaces import Box

from metarl.ranges import Positive, checked

ROUNDING = 1e-6  # a task that went through float32 and back still counts as inside its space


class Goals(ABC):
    """A distribution over tasks. A task is a float64 vector; n tasks are an array [n, task]."""

    space: Box

    @checked
    def __init__(self, low: float | Sequence[float], high: float | Sequence[float]) -> None:
        if np.shape(low) != np.shape(high) or np.any(np.greater(low, high)):
            raise ValueError(f"low is {low} and high is {high}: give as many numbers, none of low above that of high")
        self.space = Box(np.atleast_1d(low), np.atleast_1d(high), dtype=np.float64)

    @abstractmethod
    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """n tasks drawn with rng, [n, task]."""

    def allows(self, tasks: np.ndarray) -> np.ndarray:
        """Which of tasks [n, task] may be asked for, [n] bool."""
        inside = (tasks >= self.space.low - ROUNDING) & (tasks <= self.space.high + ROUNDING)
        return np.all(inside, axis=1)

    @property
    def allowed(self) -> str:
        """What `allows` accepts, in words for an error message."""
        return f"finite values between {self.space.low.tolist()} and {self.space.high.tolist()}"


class Uniform(Goals):
    """Numbers of which each is drawn by itself, from its low to its high."""

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        return rng.uniform(self.space.low, self.space.high, (n, len(self.space.low)))


class MotionGoals(Goals):
    """Goals that a moving body is scored on."""

    @abstractmethod
    def score(self, tasks: np.ndarray, position: np.ndarray, velocity: np.ndarray) -> np.ndarray:
        """Reward [n] of being at position [n, 1 or 2] (m) with velocity [n, 1 or 2] (m/s) under tasks [n, task]."""


class TargetVelocity(MotionGoals):
    """A forward speed g ~ U[low, high] (m/s); scored −|v − g|."""

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        return rng.uniform(self.space.low, self.space.high, (n, 1))

    def score(self, tasks: np.ndarray, position: np.ndarray, velocity: np.ndarray) -> np.ndarray:
        return -np.abs(velocity[:, 0] - tasks[:, 0])


class Direction(MotionGoals):
    """Forward (+1) or backward (−1), equally likely; scored d·v."""

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
    """An angle in the plane ~ U[0, 2π) (radians, anticlockwise from +x); scored by the velocity along it."""

    def __init__(self) -> None:
        super().__init__(0.0, 2.0 * np.pi)

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        return rng.uniform(self.space.low, self.space.high, (n, 1))

    def score(self, tasks: np.ndarray, position: np.ndarray, velocity: np.ndarray) -> np.ndarray:
        return velocity[:, 0] * np.cos(tasks[:, 0]) + velocity[:, 1] * np.sin(tasks[:, 0])


class Square(MotionGoals):
    """A point ~ U[−half, half]² (m); scored by minus the L1 distance to it."""

    @checked
    def __init__(self, half: Positive) -> None:
        super().__init__([-half, -half], [half, half])

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        return rng.uniform(self.space.low, self.space.high, (n, 2))

    def score(self, tasks: np.ndarray, position: np.ndarray, velocity: np.ndarray) -> np.ndarray:
        return -np.abs(position - tasks).sum(axis=1)


class Disc(Square):
    """A point uniform on the disc of this radius (m), scored as `Square`; its space is the square around the disc."""

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        angle = rng.uniform(0.0, 2.0 * np.pi, n)
        radius = self.space.high[0] * np.sqrt(rng.uniform(0.0, 1.0, n))  # √u: equal areas are equally likely
        return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


class Corners(Goals):
    """One of the four corners (±size, ±size), equally likely."""

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
