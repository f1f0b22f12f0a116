"""Simulation of an ordinary environment's instances in this process."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from threading import Event

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from metarl.core import Predictor
from metarl.envs.many import ManyEnvs
from metarl.envs.tasked import Tasked
from metarl.rl.distributions import ActionDistribution
from metarl.rl.loop import Loop, Share

AT_ONCE = 200  # instances stepped in turn: what NumPy takes for each call is then shared by so many


class InTurn:
    """Instances of `kind` that are kept, and simulate one share after the other; `envs` of them for each task."""

    def __init__(self, kind: Tasked, *, envs: int, count: int = 1) -> None:
        self.kind, self.envs, self.count = kind, envs, count
        self._world: tuple[int, ManyEnvs] | None = None  # of which process

    def parts(self, tasks: int, *, parallel: bool) -> int:
        """As many shares as there are `count` processes, or a multiple of it.

        The numbers do not depend on it: a policy in NumPy (`parallel`) acts on the same [N, obs] in whichever share,
        and for one in torch, where the number of tasks that are computed at once may change the last bit, each task is
        a share.
        """
        least = -(-tasks * self.envs // AT_ONCE)
        return min(tasks, -(-least // self.count) * self.count) if parallel else tasks

    def run(
        self,
        shares: Sequence[Share],
        predict: Predictor,
        fields: Sequence[np.ndarray],
        *,
        scale: float,
        written: Callable[..., None],
    ) -> np.ndarray:
        """Simulate all shares and fill the fields [T, H, N, …]; returns which trajectories diverged, [T·N] bool."""
        with one_thread():
            return np.concatenate([
                self.simulate(
                    share, predict.arrays(share.rows), [field[share.rows] for field in fields], scale,
                    partial(written, writer=i),
                )
                for i, share in enumerate(shares)
            ])  # fmt: skip

    def simulate(
        self,
        share: Share,
        act: Callable[[np.ndarray], ActionDistribution],
        fields: Sequence[np.ndarray],
        scale: float,
        written: Callable[[int], None],
        at: Sequence[int] | None = None,
    ) -> np.ndarray:
        """Simulate one share; `fields` are its own. `at`: where the step and the instance at work are written."""
        world = self.world(len(share.tasks))
        world.at = [0, 0] if at is None else at
        return Loop(world, share, act, fields, scale, self.kind.info, written).run(Event())

    def world(self, num_envs: int) -> ManyEnvs:
        """As many instances, some of those that are kept."""
        kept = self._world[1].envs if self._world is not None and self._world[0] == os.getpid() else []
        world = ManyEnvs(self.kind, max(num_envs, len(kept)), *kept)
        self._world = os.getpid(), world
        return world if world.num_envs == num_envs else ManyEnvs(self.kind, num_envs, *world.envs[:num_envs])


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep torch and NumPy's products to one thread: more may sum in another order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1, "blas"):
            yield
    finally:
        torch.set_num_threads(threads)
