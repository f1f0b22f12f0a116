"""Hopper and Walker2d with random dynamics.

Physics, observations, rewards and termination are those of Gymnasium's Hopper-v5 and Walker2d-v5 (dt 0.008 s). Tasks
are those of dennisl88/rand_param_envs; PEARL uses Walker2d, and ProMP uses both.
"""

from typing import ClassVar

import numpy as np

from metarl.envs.dynamics import Factors, VaryingDynamics
from metarl.envs.world import Step

CONTROL_COST = 0.001  # cost per unit of squared action
MAX_VELOCITY = 10.0  # bound to which observed velocities are clipped (m/s, rad/s)


class Hopping(VaryingDynamics):
    """Run forward without falling: r = v + 1 − 0.001·Σa², where the 1 is only given while the robot is healthy.

    Observations are qpos without x, and qvel clipped to ±10. The velocity v (m/s) is the change of x during an action,
    divided by dt.
    """

    frame_skip = 4
    healthy_z: ClassVar[tuple[float, float]]  # heights of the torso (m) without termination
    healthy_angle: ClassVar[float]  # maximum absolute angle of the torso (rad) without termination
    healthy_state: ClassVar[float] = np.inf  # maximum absolute value of all other coordinates except x

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
        """Which robots are upright and within the bounds, [N] bool."""
        (low, high), z, angle, bound = self.healthy_z, self.qpos[:, 1], self.qpos[:, 2], self.healthy_state
        upright = (low < z) & (z < high) & (np.abs(angle) < self.healthy_angle)
        return upright & (np.abs(self.qpos[:, 2:]) < bound).all(axis=1) & (np.abs(self.qvel) < bound).all(axis=1)

    def write(self, out: np.ndarray) -> None:
        size = self.qpos.shape[1] - 1
        out[:, :size] = self.qpos[:, 1:]
        np.clip(self.qvel, -MAX_VELOCITY, MAX_VELOCITY, out=out[:, size:], casting="same_kind")


class HopperParams(Hopping):
    """A robot with one leg, which runs forward; a task consists of 41 factors (see `Factors`).

    Episodes terminate unless z > 0.7 m, |angle| < 0.2 rad and all other coordinates except x are within ±100.
    """

    goals = Factors(bodies=4, dofs=6, geoms=5)
    xml = "hopper.xml"
    observation_size = 11
    healthy_z = (0.7, np.inf)
    healthy_angle = 0.2
    healthy_state = 100.0


class Walker2dParams(Hopping):
    """A robot with two legs, which runs forward; a task consists of 61 factors (see `Factors`).

    Episodes terminate unless 0.8 m < z < 2 m and |angle| < 1 rad.
    """

    goals = Factors(bodies=7, dofs=9, geoms=8)
    xml = "walker2d_v5.xml"
    observation_size = 17
    healthy_z = (0.8, 2.0)
    healthy_angle = 1.0
