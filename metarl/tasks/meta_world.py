"""The tasks of Meta-World's benchmarks: `meta_world("ML1", "reach-v3", trajectories=10)`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal

from metarl.envs.sources import import_here
from metarl.ranges import Count, Whole, checked
from metarl.rl.rollout import WorldDistribution


@checked
def meta_world(
    benchmark: Literal["ML1", "ML10", "ML25", "ML45"],
    name: str | None = None,
    *,
    split: Literal["train", "test"] = "train",
    seed: Whole = 0,
    horizon: Count = 500,
    info: Sequence[str] | Mapping[str, str] = {"success": "max"},
    **options: Any,
) -> WorldDistribution:
    """The training or test tasks of a Meta-World benchmark, which are drawn with `seed`, as `metaworld` does.

    `name` is the kind of task of ML1, such as "reach-v3". A task is one of Meta-World's own; its goal is not observed.
    The share of episodes in which it was solved at any step is measured beside the return. `options` are those of
    `ml.tasks.Environment`. Raises ValueError where Meta-World is not installed.
    """
    kind = import_here("metarl.envs.meta_world").MetaWorld
    env = partial(kind, benchmark, name, split=split, seed=seed)
    return WorldDistribution(env, horizon=horizon, info=info, **options)
