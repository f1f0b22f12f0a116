"""Ant tasks: run at a target velocity, forward or backward, in a given direction or to a goal, or with random dynamics.

`AntVel`, `AntDir`, `AntDir2D`, `AntGoal` and `AntParams` have the physics of Gymnasium's Ant-v5 (dt 0.05 s).
Observations have no contact forces and rewards no contact cost, as in PEARL, because Gymnasium reads them from
intermediate values of the integrator. `AntVel2017`, `AntDir2017` and `AntGoal2017` are those of the MAML paper (dt
0.02 s; cbfinn/maml_rl, ant_env_rand.py, ant_env_rand_direc.py, ant_env_rand_goal.py). Returns with the two kinds of
physics cannot be compared.
"""

from typing import ClassVar

import mujoco
import numpy as np

from metarl.envs.dynamics import Factors, VaryingDynamics
from metarl.envs.goals import Direction, Disc, Heading, MotionGoals, Square, TargetVelocity
from metarl.envs.physics import CentreOfMass, MujocoWorld
from metarl.envs.world import Step

TORSO = 1  # body index; 0 is the world


class Ant(MujocoWorld):
    """An ant with 27 observations: qpos without x and y, and qvel. Position and velocity are those of the torso.

    As in Gymnasium's Ant-v5, the position of the torso is the one before the last substep (as MuJoCo's `xpos`), and the
    velocity is its change during an action, divided by dt.
    """

    goals: ClassVar[MotionGoals]
    xml = "ant.xml"
    observation_size = 27
    bonus: ClassVar[float]  # reward for every step
    control_cost: ClassVar[float]  # cost per unit of squared action
    healthy_z: ClassVar[tuple[float, float] | None] = (0.2, 1.0)  # heights of the torso (m) without termination

    def __init__(self, num_envs: int, *, threads: int = 0) -> None:
        super().__init__(num_envs, threads=threads)
        self._torso = self.batch.xpos[:, TORSO, :2]  # [N, 2] m, a live view

    def advance(self, actions: np.ndarray, alive: np.ndarray | None) -> Step:
        before = self._torso.copy()
        diverged = self.simulate(actions, alive)
        return self.make_step(actions, diverged, self._torso, (self._torso - before) / self.dt)

    def make_step(self, actions: np.ndarray, diverged: np.ndarray, position: np.ndarray, velocity: np.ndarray) -> Step:
        """The result of actions [N, 8] that led to position [N, 2] (m) and velocity [N, 2] (m/s), with its reward."""
        parts = {
            "reward_goal": self.goals.score(self.tasks, position, velocity),
            "reward_ctrl": -self.control_cost * np.square(actions, dtype=np.float64).sum(axis=1),
            "reward_survive": self.survival(),
            **self.contact_parts(),
        }
        reward = np.sum(list(parts.values()), axis=0)
        parts |= {
            "x_position": position[:, 0].copy(),
            "y_position": position[:, 1].copy(),
            "x_velocity": velocity[:, 0].copy(),
            "y_velocity": velocity[:, 1].copy(),
        }
        return Step(reward, self.fallen(), diverged, parts)

    def survival(self) -> np.ndarray:
        """The reward for being alive, [N]."""
        return np.full(self.num_envs, self.bonus)

    def contact_parts(self) -> dict[str, np.ndarray]:
        """The part of the reward that depends on contact forces, if there is one."""
        return {}

    def fallen(self) -> np.ndarray:
        """Which ants are outside the healthy range of heights, [N] bool."""
        if self.healthy_z is None:
            return np.zeros(self.num_envs, bool)
        low, high = self.healthy_z
        z = self.qpos[:, 2]
        return ~((z >= low) & (z <= high))

    def write(self, out: np.ndarray) -> None:
        out[:, :13] = self.qpos[:, 2:]
        out[:, 13:27] = self.qvel


class Ant2017(CentreOfMass, Ant):
    """The ant of the MAML paper, whose position and velocity are those of the centre of mass.

    The 125 observations are qpos, qvel, contact forces clipped to ±1, the orientation matrix of the torso, and the
    centre of mass. Episodes start crouched, at the `init_qpos` of the model file, as in rllab. The timestep of 0.02 s
    and the contact parameters are also those of rllab (vendor/mujoco_models/ant.xml), which Gymnasium's file does not
    have.
    """

    observation_size = 125
    stage = mujoco.mjtStage.mjSTAGE_ACC  # because observations include contact forces
    bonus = 0.05
    control_cost = 0.005
    contact_cost: ClassVar[float] = 0.0005  # cost per unit of squared clipped contact force

    def __init__(self, num_envs: int, *, threads: int = 0) -> None:
        super().__init__(num_envs, threads=threads)
        self._cfrc = self.batch.cfrc_ext.reshape(num_envs, -1)  # [N, 14 bodies × 6], a live view
        self._xmat = self.batch.xmat[:, TORSO]  # [N, 9], a live view

    @classmethod
    def edit(cls, spec: mujoco.MjSpec) -> None:
        super().edit(spec)
        spec.option.timestep = 0.02
        for geom in spec.geoms:
            geom.solref[:] = (0.02, 1.0)
            geom.solimp[:3] = (0.8, 0.8, 0.01)
        # MuJoCo computes cfrc_ext only for models with a force sensor; this sensor is not used otherwise.
        spec.body("torso").add_site(name="contact")
        spec.add_sensor(
            name="contact",
            type=mujoco.mjtSensor.mjSENS_FORCE,
            objtype=mujoco.mjtObj.mjOBJ_SITE,
            objname="contact",
        )

    @classmethod
    def start(cls, model: mujoco.MjModel) -> tuple[np.ndarray, np.ndarray]:
        return model.numeric("init_qpos").data.copy(), np.zeros(model.nv)

    def advance(self, actions: np.ndarray, alive: np.ndarray | None) -> Step:
        actions = np.clip(actions, -1.0, 1.0)
        diverged = self.simulate(actions, alive)
        return self.make_step(actions, diverged, self.com[:, :2], self.com_velocity[:, :2])

    def contact_parts(self) -> dict[str, np.ndarray]:
        forces = np.clip(self._cfrc, -1.0, 1.0)
        return {"reward_contact": -self.contact_cost * np.einsum("nf,nf->n", forces, forces)}

    def write(self, out: np.ndarray) -> None:
        out[:, :15] = self.qpos
        out[:, 15:29] = self.qvel
        np.clip(self._cfrc, -1.0, 1.0, out=out[:, 29:113], casting="same_kind")
        out[:, 113:122] = self._xmat
        out[:, 122:] = self.com


class AntVel(Ant):
    """Run at the velocity g ~ U[0, 3] m/s: r = 1 − |v − g| + 0.05 − 0.005·Σa² (tristandeleu/pytorch-maml-rl, CAVIA)."""

    goals = TargetVelocity(0.0, 3.0)
    bonus = 1.0 + 0.05
    control_cost = 0.005


class AntDir(Ant):
    """Run in direction d ∈ {−1, +1}: r = d·v + 1 − 0.5·Σa² (ProMP, ant_rand_direc.py); terminates if z ∉ [0, 1] m."""

    goals = Direction()
    bonus = 1.0
    control_cost = 0.5
    healthy_z = (0.0, 1.0)


class AntDir2D(Ant):
    """Run in a direction ~ U[0, 2π): r = (velocity in this direction) + 1 − 0.5·Σa² (PEARL, katerakelly/oyster)."""

    goals = Heading()
    bonus = 1.0
    control_cost = 0.5


class AntGoal(Ant):
    """Run to a point in a disc of radius 3 m: r = −L1 distance − 0.1·Σa²; never terminates (katerakelly/oyster)."""

    goals = Disc(3.0)
    bonus = 0.0
    control_cost = 0.1
    healthy_z = None


class AntParams(VaryingDynamics, Ant):
    """Run forward with random dynamics: r = v + 1 − 0.5·Σa², where the 1 is only given while the ant is healthy.

    This is the reward of Ant-v5 without contact forces. A task consists of 108 factors (see `Factors`).
    """

    goals = Factors(bodies=13, dofs=14, geoms=14)
    bonus = 1.0
    control_cost = 0.5

    def survival(self) -> np.ndarray:
        return self.bonus * ~self.fallen()


class AntVel2017(Ant2017):
    """Run at the velocity g ~ U[0, 3] m/s: r = 1 − |v − g| + 0.05 − 0.005·Σa² − 0.0005·Σ contact²."""

    goals = TargetVelocity(0.0, 3.0)
    bonus = 1.0 + 0.05


class AntDir2017(Ant2017):
    """Run in direction d ∈ {−1, +1}: r = d·v + 0.05 − 0.005·Σa² − 0.0005·Σ contact²."""

    goals = Direction()


class AntGoal2017(Ant2017):
    """Run to a point ~ U[−3, 3]² m: r = 4 − L1 distance + 0.05 − 0.005·Σa² − 0.0005·Σ contact²."""

    goals = Square(3.0)
    bonus = 4.0 + 0.05
