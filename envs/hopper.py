"""Hopper and Walker2d, planar bodies with legs, whose dynamics vary: `HopperParams`, `Walker2dParams`.

Physics, observations, reward and termination: Gymnasium's Hopper-v5 and Walker2d-v5 (0.008 s an action). Tasks: the
"rand params" tasks of dennisl88/rand_param_envs, of which PEARL has Walker2d's and ProMP both.
"""

from typing import ClassVar

import numpy as np

from metarl.envs.dynamics import Factors, VaryingDynamics
from metarl.envs.world import Step

CONTROL_COST = 0.001  # a unit of squared action
FASTEST = 10.0  # velocities are observed up to this (m/s, rad/s)


class Hopping(VaryingDynamics):
    """Run forward without falling: r = v + 1 − 0.001·Σa², the 1 only while the body is healthy.

    Observations: qpos without x, qvel clipped to ±10. Velocity v (m/s): difference of x over the action.
    """

    frame_skip = 4
    healthy_z: ClassVar[tuple[float, float]]  # height of the torso (m); outside it terminates
    healthy_angle: ClassVar[float]  # lean of the torso, either way (rad); beyond it terminates
    healthy_state: ClassVar[float] = np.inf  # bound of everything but x and the height

    def initial(self, tasks: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """qpos [n, nq] and qvel [n, nv] ± U(0.005)."""
        return self.around_start(len(tasks), 0.005, rng)

    def advance(self, actions: np.ndarray, alive: np.ndarray | None) -> Step:
        before = self.qpos[:, :1].copy()
        diverged = self.simulate(actions, alive)
        velocity = (self.qpos[:, :1] - before) / self.dt
        healthy = self.healthy()
        parts = {
            "reward_goal": self.goals.score(self.tasks, self.qpos[:, :1], velocity),
            "reward_ctrl": -CONTROL_COST * np.square(actions, dtype=np.float64).sum(axis=1),
            "reward_survive": healthy.astype(np.float64),
        }
        reward = np.sum(list(parts.values()), axis=0)
        parts |= {"x_position": self.qpos[:, 0].copy(), "x_velocity": velocity[:, 0]}
        return Step(reward, ~healthy, diverged, parts)

    def healthy(self) -> np.ndarray:
        """Which bodies stand upright, [N] bool."""
        (low, high), z, angle, bound = self.healthy_z, self.qpos[:, 1], self.qpos[:, 2], self.healthy_state
        upright = (low < z) & (z < high) & (np.abs(angle) < self.healthy_angle)
        return upright & (np.abs(self.qpos[:, 2:]) < bound).all(axis=1) & (np.abs(self.qvel) < bound).all(axis=1)

    def write(self, out: np.ndarray) -> None:
        size = self.qpos.shape[1] - 1
        out[:, :size] = self.qpos[:, 1:]
        np.clip(self.qvel, -FASTEST, FASTEST, out=out[:, size:], casting="same_kind")


class HopperParams(Hopping):
    """One leg: terminates unless z > 0.7 m, |lean| < 0.2 rad and all else within ±100. A task is 41 factors."""

    goals = Factors(bodies=4, dofs=6, geoms=5)
    xml = "hopper.xml"
    observation_size = 11
    healthy_z = (0.7, np.inf)
    healthy_angle = 0.2
    healthy_state = 100.0


class Walker2dParams(Hopping):
    """Two legs: terminates unless 0.8 m < z < 2 m and |lean| < 1 rad. A task is 61 factors."""

    goals = Factors(bodies=7, dofs=9, geoms=8)
    xml = "walker2d_v5.xml"
    observation_size = 17
    healthy_z = (0.8, 2.0)
    healthy_angle = 1.0
