"""Two-dimensional navigation: a point without mass that each action displaces. Horizon 100.

`PointNav`: ProMP's corners with a sparse reward (point_env_2d_corner.py in jonasrothfuss/ProMP).
`PointNav2017`: the MAML paper's own (maml_examples/point_env_randgoal.py in cbfinn/maml_rl); the paper's text gives the
squared distance as the cost, its code the distance, and the code is followed.
"""

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
from gymnasium.spaces import Box

from metarl.envs.goals import Corners, Goals, Square
from metarl.envs.world import Step, World


class Point(World):
    """Observations 2: the position (m). Actions ±1 are clipped, then displace by at most `stride` (m) an axis."""

    goals: ClassVar[Goals]
    default_horizon = 100
    render_modes = ("rgb_array",)
    observation_space = Box(-np.inf, np.inf, (2,), np.float64)
    action_space = Box(-1.0, 1.0, (2,), np.float32)
    dt = 0.1  # nominal: the original has no time, and 10 actions a second make a watchable video
    stride: ClassVar[float]

    def __init__(self, num_envs: int, *, threads: int = 0) -> None:
        super().__init__(num_envs, threads=threads)
        self.position = np.zeros((num_envs, 2))

    def place(self, ids: Any, *state: np.ndarray) -> None:
        """Put the sub-environments ids at state = position [n, 2]."""
        self.position[self.check_state(ids, state, positions=self.position)] = state[0]

    def advance(self, actions: np.ndarray, alive: np.ndarray | None) -> Step:
        before = self.position.copy()
        move = self.stride * np.clip(actions, -1.0, 1.0)
        self.position += move if alive is None else move * alive[:, None]
        diverged = ~np.all(np.isfinite(self.position), axis=1)
        distance = np.linalg.norm(self.position - self.tasks, axis=1)
        reward, terminated = self.judge(before, distance)
        parts = {
            "reward_goal": reward.copy(),
            "distance": distance,
            "x_position": self.position[:, 0].copy(),
            "y_position": self.position[:, 1].copy(),
        }
        return Step(reward, terminated, diverged, parts)

    @abstractmethod
    def judge(self, before: np.ndarray, distance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Reward [N] and terminated [N] after moving from before [N, 2] to where the goal is distance [N] away."""

    def write(self, out: np.ndarray) -> None:
        out[:] = self.position

    def render(self, index: int, mode: str, *, width: int = 480, height: int = 480) -> np.ndarray | None:
        """An image of the goal (green), the point (red) and the axes; it shows 1.5 times the task space.

        A point further out is shown at the edge.
        """
        self.check_drawing(index, mode, width, height)
        half = 1.5 * self.goals.space.high[0]
        scale = half / (min(width, height) / 2)  # metres a pixel
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
    """Find the corner (±2, ±2): r = 0 near the centre (L1 norm < 0.5) and where another corner is the nearest,
    elsewhere the progress towards the goal (m). Starts in ±U(0.2); never terminates."""

    goals = Corners(2.0)
    stride = 0.2

    def initial(self, tasks: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray]:
        """Positions [n, 2] ~ U[−0.2, 0.2]²."""
        return (rng.uniform(-0.2, 0.2, (len(tasks), 2)),)

    def judge(self, before: np.ndarray, distance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        corners = np.linalg.norm(self.position[:, None] - self.goals.corners, axis=2)  # [N, 4]
        rewarded = (np.abs(self.position).sum(axis=1) >= 0.5) & (distance <= corners.min(axis=1))
        progress = np.linalg.norm(before - self.tasks, axis=1) - distance
        return np.where(rewarded, progress, 0.0), np.zeros(self.num_envs, bool)


class PointNav2017(Point):
    """Go to a point ~ U[−0.5, 0.5]²: r = −distance. Starts at the origin; terminates within 0.01 of it on both axes."""

    goals = Square(0.5)
    stride = 0.1

    def initial(self, tasks: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray]:
        """Positions [n, 2], all at the origin."""
        return (np.zeros((len(tasks), 2)),)

    def judge(self, before: np.ndarray, distance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return -distance, np.abs(self.position - self.tasks).max(axis=1) < 0.01
