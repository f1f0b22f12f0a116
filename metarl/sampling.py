"""Sampling tasks and sharing them out among processes, with checks of memory and of what the distribution returns."""

from __future__ import annotations

from functools import cache

import numpy as np
import psutil
import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from metarl import distributed
from metarl.core import Distribution, Episodes, Predictor, Tasks
from metarl.trees import Tree

GIB = 2**30


def sample_tasks(distribution: Distribution, n: int, rng: np.random.Generator, chunk: int | None) -> Tasks:
    """Sample `n` tasks; of several processes each gets its share of them, in whole parts of `chunk` tasks.

    Raises ValueError, before any is made, if they need more memory than the machine has.
    """
    rows = distributed.rows(n, chunk)
    check_memory(distribution, n)
    tasks = distribution.sample(n, rng)
    if not isinstance(tasks, Tasks) or tasks.n != n:
        found = f"{tasks.n} tasks" if isinstance(tasks, Tasks) else f"a {type(tasks).__name__}"
        raise ValueError(f"{type(distribution).__name__} returned {found} instead of {n} tasks: see its sample method")
    return tasks if distributed.count() == 1 else tasks.share(rows)


def check_memory(distribution: Distribution, n: int) -> None:
    """Raise ValueError if this process's share of `n` tasks needs more memory than the machine has."""
    n = -(-n // distributed.count())
    need, there = distribution.memory(n), _total_memory()
    if need > there:
        raise ValueError(
            f"{n} tasks need at least {need / GIB:,.0f} GiB of memory and this machine has {there / GIB:,.0f}: sample "
            "fewer or smaller tasks"
        )


@cache
def _total_memory() -> int:
    """The memory of the machine, in bytes."""
    return int(psutil.virtual_memory().total)


class Share(Tasks):
    """The tasks `rows` of the meta-batch `whole`, of which batches are made as a whole and then cut.

    Where `whole` asks for a predictor, the tasks of others have that of the nearest task of `rows`; what comes of it is
    cut off. It makes sharing work for all tasks; those that are expensive to make override `Tasks.share`.
    """

    def __init__(self, whole: Tasks, rows: slice) -> None:
        self.whole, self.rows, self.n = whole, rows, len(range(*rows.indices(whole.n)))

    def support(self, predict: Predictor, step: int) -> Tree:
        return self._cut(self.whole.support(self._widened(predict), step))

    def query(self, predict: Predictor) -> Tree:
        return self._cut(self.whole.query(self._widened(predict)))

    def score(self, predict: Predictor) -> Tensor:
        return self.score_and_info(predict)[0]

    def score_and_info(self, predict: Predictor) -> tuple[Tensor, dict[str, Tensor]]:
        score, info = self.whole.score_and_info(self._widened(predict))
        return self._cut(score), self._cut(info)

    def metrics(self, episodes: Episodes) -> dict[str, float]:
        """The means over all processes of what the tasks measure, each weighted by its number of tasks."""
        found = distributed.gather((self.n, self.whole.metrics(episodes)))
        names = dict.fromkeys(name for _, metrics in found for name in metrics)
        return {name: sum(n * metrics[name] for n, metrics in found) / self.whole.n for name in names}

    def _cut(self, tree: Tree) -> Tree:
        return tree_map(lambda leaf: leaf[self.rows], tree)

    def _widened(self, predict: Predictor) -> Predictor:
        nearest = (torch.arange(self.whole.n) - self.rows.start).clamp(0, self.n - 1)
        return Predictor(
            predict.learner, lambda: tree_map(lambda leaf: leaf[nearest.to(leaf.device)], predict.states),
            chunk=predict.chunk,
        )  # fmt: skip
