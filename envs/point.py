"""Two-dimensional navigation: actions move a point without mass. Episodes have 100 steps.

`PointNav` has the corners and the sparse reward of ProMP (point_env_2d_corner.py in jonasrothfuss/ProMP).
`PointNav2017` is that of the MAML paper (maml_examples/point_env_randgoal.py in cbfinn/maml_rl). Its cost is the
distance to the goal, as in the paper's code; the paper's text has the squared distance.
"""

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
from gymnasium.spaces import Box

from metarl.envs.goals import Corners, Goals, Square
from metarl.envs.world import Step, World


class Point(World):
    """A point whose 2 observations are its position (m).

    Actions are clipped to ±1, and move the point by at most `stride` (m) along each axis.
    """

    goals: ClassVar[Goals]
    default_horizon = 100
    render_modes = ("rgb_array",)
    observation_space = Box(-np.inf, np.inf, (2,), np.float64)
    action_space = Box(-1.0, 1.0, (2,), np.float32)
    dt = 0.1  # for videos, since the original environment has no notion of time
    stride: ClassVar[float]

    def __init__(self, num_envs: int, *, threads: int = 0) -> None:
        super().__init__(num_envs, threads=threads)
        self.position = np.zeros((num_envs, 2))

    def place(self, ids: Any, *state: np.ndarray) -> None:
        """Put the sub-environments `ids` at the positions [n, 2]."""
        self.position[self.check_state(ids, state, positions=self.position)] = state[0]

    def advance(self, actions: np.ndarray, alive: np.ndarray | None) -> Step:
        before = self.position.copy()
        move = self.stride * np.clip(actions, -1.0, 1.0)
        self.position += move if alive is None else move * alive[:, None]
        diverged = ~np.all(np.isfinite(self.position), axis=1)
        distance = np.linalg.norm(self.position - self.tasks, axis=1)
        reward, terminated = self.reward_and_termination(before, distance)
        parts = {
            "reward_goal": reward.copy(),
            "distance": distance,
            "x_position": self.position[:, 0].copy(),
            "y_position": self.position[:, 1].copy(),
        }
        return Step(reward, terminated, diverged, parts)

    @abstractmethod
    def reward_and_termination(self, before: np.ndarray, distance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The reward [N] and termination [N] of a move from `before` [N, 2] to a distance [N] from the goal."""

    def write(self, out: np.ndarray) -> None:
        out[:] = self.position

    def render(self, index: int, mode: str, *, width: int = 480, height: int = 480) -> np.ndarray | None:
        """An image of the goal (green), the point (red) and the axes, with 1.5 times the size of the task space.

        A point outside the image is shown at the edge.
        """
        self.check_drawing(index, mode, width, height)
        half = 1.5 * self.goals.space.high[0]
        scale = half / (min(width, height) / 2)  # metres per pixel
        x = (np.arange(width) - width / 2 + 0.5) * scale
        y = (height / 2 - 0.5 - np.arange(height)[:, None]) * scale
        image = np.full((height, width, 3), 255, np.uint8)
        image[(np.abs(x) < scale) | (np.abs(y) < scale)] = (200, 200, 200)
        edge = (np.array([width, height]) / 2) * scale
        shown = np.clip(self.position[index], -edge, edge)
        goal, point = (self.tasks[index], 0.06, (46, 160, 67)), (shown, 0.04, (207, 34, 46))
        for centre, radius, colour in (goal, point):
            image[np.hypot(x - centre[0], y - centre[1]) < radius * half] = colour
        return image


class PointNav(Point):
    """Find the right one of the corners (±2, ±2), with a sparse reward: the progress towards the goal (m).

    The reward is 0 near the centre (L1 norm < 0.5) and where another corner is nearer. Episodes start in ±U(0.2) and
    never terminate.
    """

    goals = Corners(2.0)
    stride = 0.2

    def initial(self, tasks: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray]:
        """Positions [n, 2] ~ U[−0.2, 0.2]²."""
        return (rng.uniform(-0.2, 0.2, (len(tasks), 2)),)

    def reward_and_termination(self, before: np.ndarray, distance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        corners = np.linalg.norm(self.position[:, None] - self.goals.corners, axis=2)  # [N, 4]
        rewarded = (np.abs(self.position).sum(axis=1) >= 0.5) & (distance <= corners.min(axis=1))
        progress = np.linalg.norm(before - self.tasks, axis=1) - distance
        return np.where(rewarded, progress, 0.0), np.zeros(self.num_envs, bool)


class PointNav2017(Point):
    """Move to a point ~ U[−0.5, 0.5]² (m): r = −distance.

    Episodes start at the origin, and terminate within 0.01 m of the goal along both axes.
    """

    goals = Square(0.5)
    stride = 0.1

    def initial(self, tasks: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray]:
        """Positions [n, 2], all at the origin."""
        return (np.zeros((len(tasks), 2)),)

    def reward_and_termination(self, before: np.ndarray, distance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return -distance, np.abs(self.position - self.tasks).max(axis=1) < 0.01
