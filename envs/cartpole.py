"""CartPole with random poles: Gymnasium's CartPole-v1, with all sub-environments in NumPy arrays.

The ranges of the pole's length and mass are the widest of Packer et al. 2018 (Assessing Generalization in Deep
Reinforcement Learning, arXiv 1810.12282).
"""

from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete

from metarl.envs.drawing import BLACK, BLUE, GREY, RED, Canvas
from metarl.envs.goals import Uniform
from metarl.envs.world import Step, World

GRAVITY = 9.8  # m/s²
CART = 1.0  # mass of the cart (kg)
FORCE = 10.0  # of a push (N)
EDGE = 2.4  # distance of the ends of the track from its centre (m)
MAX_ANGLE = np.deg2rad(12.0)  # angle of the pole beyond which the episode terminates


class CartPoleParams(World):
    """Push a cart left (0) or right (1) to keep its pole upright: r = 1 for every step, including the last one.

    The 4 observations are the position of the cart (m), its velocity (m/s), the angle of the pole (rad, clockwise from
    upright) and its velocity (rad/s). Episodes terminate beyond ±2.4 m or ±12°. A task consists of half of the pole's
    length ~ U[0.05, 1] m and its mass ~ U[0.01, 1] kg; in CartPole-v1 they are 0.5 m and 0.1 kg.
    """

    goals = Uniform([0.05, 0.01], [1.0, 1.0])
    render_modes = ("rgb_array",)
    observation_space = Box(-np.inf, np.inf, (4,), np.float64)
    action_space = Discrete(2)  # type: ignore[assignment]
    dt = 0.02

    def __init__(self, num_envs: int, *, threads: int = 0) -> None:
        super().__init__(num_envs, threads=threads)
        self.state = np.zeros((num_envs, 4))

    def initial(self, tasks: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray]:
        """States [n, 4], each number ± U(0.05)."""
        return (rng.uniform(-0.05, 0.05, (len(tasks), 4)),)

    def place(self, ids: Any, *state: np.ndarray) -> None:
        """Put the sub-environments `ids` into the states [n, 4], in the order of observations."""
        self.state[self.check_state(ids, state, states=self.state)] = state[0]

    def advance(self, actions: np.ndarray, alive: np.ndarray | None) -> Step:
        after = self.state + self.dt * self.motion(FORCE * (2.0 * actions - 1.0))  # Euler's method
        self.state = after if alive is None else np.where(alive[:, None], after, self.state)
        x, angle = self.state[:, 0].copy(), self.state[:, 2].copy()
        fallen = (np.abs(x) > EDGE) | (np.abs(angle) > MAX_ANGLE)
        parts = {"reward_goal": np.ones(self.num_envs), "x_position": x, "angle": angle}
        return Step(np.ones(self.num_envs), fallen, ~np.all(np.isfinite(self.state), axis=1), parts)

    def motion(self, force: np.ndarray) -> np.ndarray:
        """The time derivatives [N, 4] of the states for forces [N] in newton (Florian 2007, without friction)."""
        (length, mass), (_, speed, angle, turn) = self.tasks.T, self.state.T
        total, cos, sin = CART + mass, np.cos(angle), np.sin(angle)
        push = (force + mass * length * turn**2 * sin) / total
        turning = (GRAVITY * sin - cos * push) / (length * (4.0 / 3.0 - mass * cos**2 / total))
        moving = push - mass * length * turning * cos / total
        return np.stack([speed, moving, turn, turning], axis=1)

    def write(self, out: np.ndarray) -> None:
        out[:] = self.state

    def render(self, index: int, mode: str, *, width: int = 480, height: int = 480) -> np.ndarray | None:
        """An image of the cart (blue) with its pole (red), whose thickness shows its mass."""
        self.check_drawing(index, mode, width, height)
        (length, mass), (x, _, angle, _) = self.tasks[index], self.state[index]
        canvas, ground = Canvas(width, height, half=2.4), -1.0
        canvas.bar((-EDGE, ground), (EDGE, ground), 0.02, BLACK)
        for end in (-EDGE, EDGE):
            canvas.bar((end, ground), (end, ground + 0.2), 0.02, GREY)
        canvas.bar((x - 0.25, ground), (x + 0.25, ground), 0.15, BLUE)
        top = x + 2 * length * np.sin(angle), ground + 2 * length * np.cos(angle)
        canvas.bar((x, ground), top, 0.03 + 0.06 * mass, RED)
        return canvas.image
