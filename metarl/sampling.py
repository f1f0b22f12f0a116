"""Tasks of a distribution, asked for where the machine can hold them, and what came looked at."""

from __future__ import annotations

import numpy as np
import psutil

from metarl.core import Distribution, Tasks

GIB = 2**30


def sampled(distribution: Distribution, n: int, rng: np.random.Generator) -> Tasks:
    """`n` tasks. Raises ValueError, before any is made, where they need more memory than the machine has."""
    check_memory(distribution, n)
    tasks = distribution.sample(n, rng)
    if not isinstance(tasks, Tasks) or tasks.n != n:
        found = f"{tasks.n} tasks" if isinstance(tasks, Tasks) else f"a {type(tasks).__name__}"
        raise ValueError(f"{type(distribution).__name__} gave {found} where {n} tasks were asked for: see its sample")
    return tasks


def check_memory(distribution: Distribution, n: int) -> None:
    """Raise ValueError where `n` tasks need more memory than the machine has."""
    need, there = distribution.memory(n), psutil.virtual_memory().total
    if need > there:
        raise ValueError(
            f"{n} tasks need at least {need / GIB:,.0f} GiB, this machine has {there / GIB:,.0f}: ask for fewer, or "
            "smaller ones"
        )
