"""The simulator of native Worlds, which step all sub-environments together, in one loop or in loops on threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from metarl.core import Predictor
from metarl.envs import World
from metarl.envs.world import build, cores
from metarl.rl.loop import Loop, Share, count_loops, run_loops


class ThreadedSimulator:
    """Simulates the shares of a meta-batch in Worlds of `kind`, with `envs` sub-environments for each task.

    The worlds are kept for the next rollout with the same number of tasks.
    """

    def __init__(self, kind: Callable[..., World], *, envs: int, threads: int, info: Sequence[str]) -> None:
        self.kind, self.envs, self.threads, self.info = kind, envs, threads or cores(), info
        self._worlds: dict[tuple[int, int, int], list[World]] = {}

    def parts(self, tasks: int, *, parallel: bool) -> int:
        """The number of loops for `tasks` tasks; `parallel` is whether policies can run on several threads."""
        return count_loops(tasks, self.threads) if parallel and getattr(self.kind, "parallel", False) else 1

    def worlds(self, tasks: int, parts: int) -> list[World]:
        """Worlds for `tasks` tasks that are split into equal parts."""
        key = (os.getpid(), tasks, parts)
        if key not in self._worlds:
            size = tasks * self.envs // parts
            self._worlds = {}  # delete the previous worlds first, because they may need much memory
            self._worlds[key] = [build(self.kind, size, threads=self.threads // parts) for _ in range(parts)]
        return self._worlds[key]

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
        loops = []
        for part, (share, world) in enumerate(zip(shares, self.worlds(len(fields[0]), len(shares)), strict=True)):
            act = predict.arrays(share.rows if len(shares) > 1 else None)
            of_part = [field[share.rows] for field in fields]
            loops.append(Loop(world, share, act, of_part, scale, self.info, partial(written, writer=part)))
        return run_loops(loops)
