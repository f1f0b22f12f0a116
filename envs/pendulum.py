"""Pendulum with random mass and length: Gymnasium's Pendulum-v1, with all sub-environments in NumPy arrays.

The ranges of masses and lengths are the widest of Packer et al. 2018 (Assessing Generalization in Deep Reinforcement
Learning, arXiv 1810.12282).
"""

from typing import Any

import numpy as np
from gymnasium.spaces import Box

from metarl.envs.drawing import BLACK, RED, Canvas
from metarl.envs.goals import Uniform
from metarl.envs.world import Step, World

GRAVITY = 10.0  # m/s²
TORQUE = 2.0  # torque for an action of 1 (Nm)
MAX_VELOCITY = 8.0  # rad/s
VELOCITY_COST, CONTROL_COST = 0.1, 0.001  # costs per unit of squared velocity and of squared torque


class PendulumParams(World):
    """Swing a rod up and keep it upright: r = −(θ² + 0.1·θ'² + 0.001·(2a)²), for the state before the action.

    θ is the angle from upright in [−π, π) (rad). The 3 observations are cos θ, sin θ and θ' (rad/s). Actions are
    clipped to ±1. Episodes never terminate. A task consists of the mass (kg) and the length (m) of the rod, each
    ~ U[0.5, 1.5]; in Pendulum-v1, both are 1.
    """

    goals = Uniform([0.5, 0.5], [1.5, 1.5])
    render_modes = ("rgb_array",)
    observation_space = Box(-np.inf, np.inf, (3,), np.float64)
    action_space = Box(-1.0, 1.0, (1,), np.float32)
    dt = 0.05

    def __init__(self, num_envs: int, *, threads: int = 0) -> None:
        super().__init__(num_envs, threads=threads)
        self.state = np.zeros((num_envs, 2))

    def initial(self, tasks: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray]:
        """States [n, 2]: the angle ± U(π) (rad) and its velocity ± U(1) (rad/s)."""
        return (rng.uniform([-np.pi, -1.0], [np.pi, 1.0], (len(tasks), 2)),)

    def place(self, ids: Any, *state: np.ndarray) -> None:
        """Put the sub-environments `ids` into the states [n, 2], angles and their velocities."""
        self.state[self.check_state(ids, state, states=self.state)] = state[0]

    def advance(self, actions: np.ndarray, alive: np.ndarray | None) -> Step:
        (mass, length), (angle, turn) = self.tasks.T, self.state.T
        torque = TORQUE * np.clip(np.asarray(actions, np.float64)[:, 0], -1.0, 1.0)
        off = (angle + np.pi) % (2.0 * np.pi) - np.pi
        parts = {"reward_goal": -(off**2) - VELOCITY_COST * turn**2, "reward_ctrl": -CONTROL_COST * torque**2}
        reward = parts["reward_goal"] + parts["reward_ctrl"]
        gained = (1.5 * GRAVITY / length * np.sin(angle) + 3.0 / (mass * length**2) * torque) * self.dt
        turn = np.clip(turn + gained, -MAX_VELOCITY, MAX_VELOCITY)
        after = np.stack([angle + turn * self.dt, turn], axis=1)
        self.state = after if alive is None else np.where(alive[:, None], after, self.state)
        parts |= {"angle": off}
        return Step(reward, np.zeros(self.num_envs, bool), ~np.all(np.isfinite(self.state), axis=1), parts)

    def write(self, out: np.ndarray) -> None:
        angle, turn = self.state.T
        out[:] = np.stack([np.cos(angle), np.sin(angle), turn], axis=1)

    def render(self, index: int, mode: str, *, width: int = 480, height: int = 480) -> np.ndarray | None:
        """An image of the rod (red), whose thickness shows its mass, and of its axis."""
        self.check_drawing(index, mode, width, height)
        (mass, length), angle = self.tasks[index], self.state[index, 0]
        canvas = Canvas(width, height, half=1.8)
        canvas.bar((0.0, 0.0), (length * -np.sin(angle), length * np.cos(angle)), 0.1 * mass, RED)
        canvas.bar((0.0, 0.0), (0.0, 0.0), 0.04, BLACK)
        return canvas.image
