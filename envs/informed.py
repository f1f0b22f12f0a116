"""Worlds that show their task: what an oracle, which is told the goal, observes."""

from functools import cache

import numpy as np
from gymnasium.spaces import Box

from metarl.envs.world import World, check_world


def informed(world: type[World]) -> type[World]:
    """A kind of `world` whose observations end with the task: [N, obs + task]. Nothing else differs.

    `TaskEnv(informed(HalfCheetahVel))`, `TaskVectorEnv(informed(HalfCheetahVel), 16)`; the same class at every call.
    """
    return _informed(check_world(world))


@cache
def _informed(world: type[World]) -> type[World]:
    class Informed(world):  # type: ignore[valid-type, misc]
        observation_space: Box

        def __init__(self, num_envs: int, *, threads: int = 0) -> None:
            super().__init__(num_envs, threads=threads)
            shown, task = self.observation_space, self.task_space
            low, high = np.concatenate([shown.low, task.low]), np.concatenate([shown.high, task.high])
            self.observation_space = Box(low, high, dtype=np.float64)

        @property
        def name(self) -> str:
            return f"{world.__name__}, informed"

        def write(self, out: np.ndarray) -> None:
            size = self.tasks.shape[1]
            super().write(out[:, :-size])
            out[:, -size:] = self.tasks

    Informed.__doc__ = f"{world.__name__} whose observations end with its task."
    Informed.__name__ = Informed.__qualname__ = f"Informed{world.__name__}"
    return Informed
