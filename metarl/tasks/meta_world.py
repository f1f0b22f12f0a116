"""The tasks of Meta-World's benchmarks (Yu et al. 2019), such as `meta_world("ML1", "reach-v3")`."""

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
    """The training or test tasks of a Meta-World benchmark (Yu et al. 2019, arXiv 1910.10897).

    Meta-World draws the tasks with `seed`. ML1 needs the `name` of its kind of task, such as "reach-v3". Observations
    do not contain the goal. By default, `info` reports the success rate, the fraction of episodes in which the task was
    solved at any step, in addition to the return. `options` are arguments of `ml.tasks.Environment`. Raises ValueError
    if Meta-World is not installed.
    """
    kind = import_here("metarl.envs.meta_world").MetaWorld
    env = partial(kind, benchmark, name, split=split, seed=seed)
    return WorldDistribution(env, horizon=horizon, info=info, **options)
