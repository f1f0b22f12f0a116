"""Worlds whose observations include the task, for oracles and experts."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from gymnasium.spaces import Box

from metarl.envs.goals import task_in_words
from metarl.envs.many import ManyEnvs
from metarl.envs.tasked import Tasked
from metarl.envs.world import World, check_world


class ObservesTask(World):
    """A World whose observations end with the task. It is the first base class, before the class of the World."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        seen, space = self.observation_space, self.task_space
        size = self.task_rows(self.sample_tasks(1, np.random.default_rng(0))).shape[1]
        low, high = (space.low, space.high) if isinstance(space, Box) else (-np.inf, np.inf)
        low, high = (np.broadcast_to(np.ravel(bound), size) for bound in (low, high))
        self.task_size = size
        self.observation_space = Box(np.append(seen.low, low), np.append(seen.high, high), dtype=np.float64)

    def task_rows(self, tasks: np.ndarray) -> np.ndarray:
        """Convert tasks [n, …] to vectors [n, task]. Raises ValueError if they are not numbers."""
        if tasks.dtype == object:
            raise ValueError(
                f"{self.name}: a task is {task_in_words(tasks[0])}, which a policy cannot observe: let "
                "tasks be numbers, or arrays of numbers of one shape"
            )
        return tasks.reshape(len(tasks), -1)

    def write(self, out: np.ndarray) -> None:
        super().write(out[:, : -self.task_size])  # type: ignore[safe-super]
        out[:, -self.task_size :] = self.task_rows(self.tasks)


class InformedEnvs(ObservesTask, ManyEnvs):
    """Instances of a Gymnasium environment whose observations end with the task."""


def informed(kind: Callable[..., World]) -> Callable[..., World]:
    """Worlds like those of `kind`, a World class or function, with observations [N, obs + task] that end with the task.

    It is used as in `TaskEnv(informed(HalfCheetahVel))` or `TaskVectorEnv(informed(HalfCheetahVel), 16)`. Repeated
    calls return the same class. Tasks of a Gymnasium environment must be numbers or arrays of numbers.
    """
    if isinstance(kind, Tasked):
        return replace(kind, name=f"{kind.name}, informed", world=InformedEnvs)
    return _informed(check_world(kind))


@cache
def _informed(world: type[World]) -> type[World]:
    return type(f"Informed{world.__name__}", (ObservesTask, world), {
        "__doc__": f"{world.__name__} whose observations end with its task.",
        "name": property(lambda self: f"{world.__name__}, informed"),
    })  # fmt: skip
