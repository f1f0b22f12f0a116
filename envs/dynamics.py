"""Random dynamics: tasks are the masses, inertias, damping and friction of a robot.

Rewards do not depend on the task, which an agent can only recognise by how the robot moves.
"""

from typing import Any, ClassVar

import numpy as np

from metarl.envs.goals import MotionGoals
from metarl.envs.physics import MujocoWorld
from metarl.ranges import Count, checked

LARGEST = {"body_mass": 1.5**3, "body_inertia": 1.5**3, "dof_damping": 1.3**3, "geom_friction": 1.5**3}


class Factors(MotionGoals):
    """Factors for the masses, inertias, damping and friction of a model. The reward is the forward velocity.

    Factors are 1.5^U(−3, 3), or 1.3^U(−3, 3) for damping, and independent for each entry of MuJoCo's fields
    (dennisl88/rand_param_envs, base.py, which PEARL and ProMP use). A task consists of the factors of body_mass
    [bodies], body_inertia [bodies, 3], dof_damping [dofs] and geom_friction [geoms, 3], in this order. They do not
    include MuJoCo's first body, the world, which has no mass and no inertia.
    """

    @checked
    def __init__(self, *, bodies: Count, dofs: Count, geoms: Count) -> None:
        self.shapes = {
            "body_mass": (bodies,), "body_inertia": (bodies, 3), "dof_damping": (dofs,), "geom_friction": (geoms, 3),
        }  # fmt: skip
        high = np.concatenate([np.full(np.prod(shape), LARGEST[name]) for name, shape in self.shapes.items()])
        super().__init__((1.0 / high).tolist(), high.tolist())

    @property
    def allowed(self) -> str:
        return "factors from 1.5^-3 to 1.5^3, for damping from 1.3^-3 to 1.3^3"

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        return self.space.high ** rng.uniform(-1.0, 1.0, (n, len(self.space.high)))

    def score(self, tasks: np.ndarray, position: np.ndarray, velocity: np.ndarray) -> np.ndarray:
        return velocity[:, 0].copy()

    def by_field(self, tasks: np.ndarray) -> dict[str, np.ndarray]:
        """The factors of tasks [n, task] as {name of MuJoCo's field: array [n, …] with the field's shape}."""
        ends = np.cumsum([np.prod(shape) for shape in self.shapes.values()])
        parts = np.split(tasks, ends[:-1], axis=1)
        fields = zip(self.shapes.items(), parts, strict=True)
        return {name: part.reshape(len(tasks), *shape) for (name, shape), part in fields}


class VaryingDynamics(MujocoWorld):
    """A MuJoCo World whose tasks are the `Factors` of its model.

    Constants that MuJoCo derives from masses and inertias are computed for the changed model (mj_setConst): the inverse
    weights of bodies and joints, which determine the softness of contacts and joint limits, and the masses of subtrees.
    The exception is the mean inertia, which scales the tolerance of the constraint solver, because MuJoCo has only one
    value for all simulations. Simulations without a task use the original model.
    """

    goals: ClassVar[Factors]

    def __init__(self, num_envs: int, *, threads: int = 0) -> None:
        super().__init__(num_envs, threads=threads)
        self._varied = {  # live views of the fields of all simulations, [N, …], without the world
            name: self.batch.expand(name)[:, -shape[0] :] for name, shape in self.goals.shapes.items()
        }
        self._standard = {name: values[:1].copy() for name, values in self._varied.items()}
        self._simulated = np.ones_like(self.tasks)

    def place(self, ids: Any, *state: np.ndarray) -> None:
        self.follow_tasks()
        super().place(ids, *state)

    def simulate(self, controls: np.ndarray, alive: np.ndarray | None) -> np.ndarray:
        self.follow_tasks()
        return super().simulate(controls, alive)

    def follow_tasks(self) -> None:
        """Update the dynamics of all simulations whose tasks have changed."""
        if np.array_equal(self.tasks, self._simulated):  # in nearly all steps
            return
        changed = ((self.tasks != self._simulated) & ~np.isnan(self.tasks)).any(axis=1)
        for name, factors in self.goals.by_field(self.tasks[changed]).items():
            self._varied[name][changed] = self._standard[name] * factors
        self.batch.set_const(changed)
        self._simulated[changed] = self.tasks[changed]
