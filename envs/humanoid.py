"""Humanoid task: run in a given direction of the plane, as in PEARL (katerakelly/oyster, humanoid_dir.py).

The physics are those of Gymnasium's Humanoid-v5 (dt 0.015 s). Observations have no contact forces and rewards no
contact cost, because Gymnasium reads them from intermediate values of the integrator; in PEARL's version of MuJoCo they
were 0.
"""

import numpy as np

from metarl.envs.goals import Heading
from metarl.envs.physics import MujocoWorld
from metarl.envs.world import Step

MAX_CONTROL = 0.4  # control for an action of 1
FORWARD = 1.25  # reward for a velocity of 1 m/s in the goal direction
HEALTHY = 5.0  # reward for a step that ends upright
CONTROL_COST = 0.1  # cost per unit of squared control
HEALTHY_Z = (1.0, 2.0)  # heights of the torso (m) without termination


class HumanoidDir2D(MujocoWorld):
    """Run in a direction ~ U[0, 2π): r = 1.25·(velocity in this direction) + 5 − 0.1·Σ(0.4·a)², the 5 while upright.

    The 270 observations are qpos without x and y (22), qvel (23), the inertias of all bodies about the centre of mass
    (130), their velocities (78), and the torques of the joints (17). The velocity is the change of the centre of mass
    during an action, divided by dt. As in Gymnasium, all quantities except qpos and qvel are those before the last
    substep.
    """

    goals = Heading()
    xml = "humanoid.xml"
    observation_size = 270

    def __init__(self, num_envs: int, *, threads: int = 0) -> None:
        super().__init__(num_envs, threads=threads)
        mass = self.batch.model.body_mass
        self._share = mass / mass.sum()  # [bodies], fractions of the total mass
        self._centres = self.batch.xipos[:, :, :2]  # [N, bodies, 2] m, a live view
        self._inertia, self._motion = self.batch.cinert[:, 1:], self.batch.cvel[:, 1:]  # without the body "world"
        self._torques = self.batch.qfrc_actuator[:, 6:]  # without those of the root

    def initial(self, tasks: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """qpos [n, nq] and qvel [n, nv] ± U(0.01)."""
        return self.around_start(len(tasks), 0.01, rng)

    def advance(self, actions: np.ndarray, alive: np.ndarray | None) -> Step:
        before = self.centre()
        controls = MAX_CONTROL * np.asarray(actions, np.float64)
        diverged = self.simulate(controls, alive)
        position = self.centre()
        velocity = (position - before) / self.dt
        low, high = HEALTHY_Z
        healthy = (low < self.qpos[:, 2]) & (self.qpos[:, 2] < high)
        parts = {
            "reward_goal": FORWARD * self.goals.score(self.tasks, position, velocity),
            "reward_ctrl": -CONTROL_COST * np.square(controls).sum(axis=1),
            "reward_survive": HEALTHY * healthy,
        }
        reward = np.sum(list(parts.values()), axis=0)
        parts |= {
            "x_position": position[:, 0].copy(),
            "y_position": position[:, 1].copy(),
            "x_velocity": velocity[:, 0].copy(),
            "y_velocity": velocity[:, 1].copy(),
        }
        return Step(reward, ~healthy, diverged, parts)

    def centre(self) -> np.ndarray:
        """The position of the centre of mass in the plane, [N, 2] (m)."""
        return np.einsum("b,nbj->nj", self._share, self._centres)

    def write(self, out: np.ndarray) -> None:
        out[:, :22] = self.qpos[:, 2:]
        out[:, 22:45] = self.qvel
        out[:, 45:175] = self._inertia.reshape(self.num_envs, -1)
        out[:, 175:253] = self._motion.reshape(self.num_envs, -1)
        out[:, 253:] = self._torques
