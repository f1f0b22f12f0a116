"""Sampling tasks, with checks of the memory that they need and of what the distribution returns."""

from __future__ import annotations

import numpy as np
import psutil

from metarl.core import Distribution, Tasks

GIB = 2**30


def sample_tasks(distribution: Distribution, n: int, rng: np.random.Generator) -> Tasks:
    """Sample `n` tasks. Raises ValueError, before any is made, if they need more memory than the machine has."""
    check_memory(distribution, n)
    tasks = distribution.sample(n, rng)
    if not isinstance(tasks, Tasks) or tasks.n != n:
        found = f"{tasks.n} tasks" if isinstance(tasks, Tasks) else f"a {type(tasks).__name__}"
        raise ValueError(f"{type(distribution).__name__} returned {found} instead of {n} tasks: see its sample method")
    return tasks


def check_memory(distribution: Distribution, n: int) -> None:
    """Raise ValueError if `n` tasks need more memory than the machine has."""
    need, there = distribution.memory(n), psutil.virtual_memory().total
    if need > there:
        raise ValueError(
            f"{n} tasks need at least {need / GIB:,.0f} GiB of memory and this machine has {there / GIB:,.0f}: sample "
            "fewer or smaller tasks"
        )
