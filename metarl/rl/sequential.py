"""The simulator of environments written for Gymnasium, which steps many instances in this process."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from threading import Event

import numpy as np
from threadpoolctl import threadpool_limits

from metarl.core import Predictor
from metarl.devices import one_thread
from metarl.envs.many import ManyEnvs
from metarl.envs.tasked import Tasked
from metarl.rl.distributions import ActionDistribution
from metarl.rl.loop import Loop, Share

MAX_INSTANCES = 200  # maximum number of instances that are stepped together, over which the cost of NumPy is spread


class SequentialSimulator:
    """Simulates the shares of a meta-batch one after the other, with `envs` instances of `kind` for each task.

    The instances are kept for further rollouts. `count` is the number of processes (1 in this class).
    """

    def __init__(self, kind: Tasked, *, envs: int, count: int = 1) -> None:
        self.kind, self.envs, self.count = kind, envs, count
        self._world: tuple[int, ManyEnvs] | None = None  # with the id of the process

    def parts(self, tasks: int, *, parallel: bool) -> int:
        """The number of shares: the number of processes or a multiple of it.

        Results do not depend on it. A policy in NumPy (`parallel`) is always evaluated on [N, obs]. For policies in
        torch, whose rounding may depend on the number of tasks in a batch, each task is a share.
        """
        least = -(-tasks * self.envs // MAX_INSTANCES)
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
        """Simulate all shares and fill the fields [T, H, N, …]. Returns which trajectories diverged, [T·N] bool."""
        with one_thread(), threadpool_limits(1, "blas"):  # rounding may depend on the number of NumPy's threads, too
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
        """Simulate one share and fill its `fields`. The current step and instance are written into `at` [2]."""
        world = self.world(len(share.tasks))
        world.at = [0, 0] if at is None else at
        return Loop(world, share, act, fields, scale, self.kind.info, written).run(Event())

    def world(self, num_envs: int) -> ManyEnvs:
        """A World of `num_envs` instances, which reuses those that are kept."""
        kept = self._world[1].envs if self._world is not None and self._world[0] == os.getpid() else []
        world = self.kind.world(self.kind, max(num_envs, len(kept)), *kept)
        self._world = os.getpid(), world
        return world if world.num_envs == num_envs else self.kind.world(self.kind, num_envs, *world.envs[:num_envs])
