"""Half-cheetah tasks: run at a target velocity, forward or backward, or with random dynamics. They never terminate.

`HalfCheetahVel` and `HalfCheetahDir` have the physics of Gymnasium's HalfCheetah-v5 (dt 0.05 s) and the rewards of
ProMP (half_cheetah_rand_vel.py, half_cheetah_rand_direc.py), PEARL and VariBAD. `HalfCheetahVel2017` and
`HalfCheetahDir2017` are those of the MAML paper (dt 0.01 s; cbfinn/maml_rl, half_cheetah_env_rand.py,
half_cheetah_env_rand_direc.py). Returns with the two kinds of physics cannot be compared. `HalfCheetahParams` is
HalfCheetah-v5 with its reward and random masses, inertias, damping and friction.
"""

from typing import ClassVar

import numpy as np

from metarl.envs.dynamics import Factors, VaryingDynamics
from metarl.envs.goals import Direction, MotionGoals, TargetVelocity
from metarl.envs.physics import CentreOfMass, MujocoWorld
from metarl.envs.world import Step


class HalfCheetah(MujocoWorld):
    """A half-cheetah with 17 observations: qpos without x, and qvel.

    The velocity (m/s) is the change of x during an action, divided by dt.
    """

    goals: ClassVar[MotionGoals]
    xml = "half_cheetah.xml"
    observation_size = 17
    control_cost: ClassVar[float] = 0.05  # cost per unit of squared action

    def advance(self, actions: np.ndarray, alive: np.ndarray | None) -> Step:
        before = self.qpos[:, :1].copy()
        diverged = self.simulate(actions, alive)
        return self.make_step(actions, diverged, self.qpos[:, :1], (self.qpos[:, :1] - before) / self.dt)

    def make_step(self, actions: np.ndarray, diverged: np.ndarray, position: np.ndarray, velocity: np.ndarray) -> Step:
        """The result of actions [N, 6] that led to position [N, 1] (m) and velocity [N, 1] (m/s), with its reward."""
        goal = self.goals.score(self.tasks, position, velocity)
        control = -self.control_cost * np.square(actions, dtype=np.float64).sum(axis=1)
        parts = {
            "reward_goal": goal,
            "reward_ctrl": control,
            "x_position": position[:, 0].copy(),
            "x_velocity": velocity[:, 0].copy(),
        }
        return Step(goal + control, np.zeros(self.num_envs, bool), diverged, parts)

    def write(self, out: np.ndarray) -> None:
        out[:, :8] = self.qpos[:, 1:]
        out[:, 8:17] = self.qvel


class HalfCheetah2017(CentreOfMass, HalfCheetah):
    """The half-cheetah of the MAML paper, whose velocity is that of the centre of mass.

    The 20 observations include the centre of mass, also its x, as in the code of the paper.
    """

    observation_size = 20

    def advance(self, actions: np.ndarray, alive: np.ndarray | None) -> Step:
        actions = np.clip(actions, -1.0, 1.0)
        diverged = self.simulate(actions, alive)
        return self.make_step(actions, diverged, self.com[:, :1], self.com_velocity[:, :1])

    def write(self, out: np.ndarray) -> None:
        super().write(out)
        out[:, 17:] = self.com


class HalfCheetahVel(HalfCheetah):
    """Run at the velocity g ~ U[0, 3] m/s: r = −|v − g| − 0.05·Σa²."""

    goals = TargetVelocity(0.0, 3.0)


class HalfCheetahDir(HalfCheetah):
    """Run in direction d ∈ {−1, +1}: r = d·v − 0.05·Σa²."""

    goals = Direction()


class HalfCheetahParams(VaryingDynamics, HalfCheetah):
    """Run forward with random dynamics: r = v − 0.1·Σa², as in HalfCheetah-v5.

    A task consists of 64 factors (see `Factors`).
    """

    goals = Factors(bodies=7, dofs=9, geoms=9)
    control_cost = 0.1


class HalfCheetahVel2017(HalfCheetah2017):
    """Run at the velocity g ~ U[0, 2] m/s: r = −|v − g| − 0.05·Σa²."""

    goals = TargetVelocity(0.0, 2.0)


class HalfCheetahDir2017(HalfCheetah2017):
    """Run in direction d ∈ {−1, +1}: r = d·v − 0.05·Σa²."""

    goals = Direction()
