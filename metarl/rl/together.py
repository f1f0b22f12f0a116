"""Simulation of a native World: all sub-environments at once, in loops on threads where that is faster."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from metarl.core import Predictor
from metarl.envs import World
from metarl.envs.world import build, cores
from metarl.rl.loop import Loop, Share, loops, run


class Together:
    """Worlds of `kind`, with `envs` sub-environments a task, that are kept for the next rollout of as many tasks."""

    def __init__(self, kind: Callable[..., World], *, envs: int, threads: int, info: Sequence[str]) -> None:
        self.kind, self.envs, self.threads, self.info = kind, envs, threads or cores(), info
        self._worlds: dict[tuple[int, int, int], list[World]] = {}

    def parts(self, tasks: int, *, parallel: bool) -> int:
        """How many loops simulate `tasks` tasks; `parallel`: whether their policies can act on several threads."""
        return loops(tasks, self.threads) if parallel and getattr(self.kind, "parallel", False) else 1

    def worlds(self, tasks: int, parts: int) -> list[World]:
        """Worlds for so many equal parts of `tasks` tasks."""
        key = (os.getpid(), tasks, parts)
        if key not in self._worlds:
            size = tasks * self.envs // parts
            self._worlds = {}  # one set at a time: a simulator's memory grows with its size
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
        """Simulate all shares and fill the fields [T, H, N, …]; returns which trajectories diverged, [T·N] bool."""
        together = []
        for part, (share, world) in enumerate(zip(shares, self.worlds(len(fields[0]), len(shares)), strict=True)):
            act = predict.arrays(share.rows if len(shares) > 1 else None)
            of_part = [field[share.rows] for field in fields]
            together.append(Loop(world, share, act, of_part, scale, self.info, partial(written, writer=part)))
        return run(together)
