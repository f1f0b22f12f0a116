"""Means, interquartile means and 95 % intervals."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from metarl.ranges import Count, checked

Statistic = Callable[[np.ndarray], np.ndarray]  # of scores [..., seeds, tasks], to [...]
NUMBERS = "fiub"  # kinds of NumPy's data types
BLOCK = 4_000_000  # resampled scores held at a time


class Estimate(NamedTuple):
    """A statistic of scores and its 95 % interval."""

    value: float
    low: float
    high: float


@checked
def mean_ci95(values: np.ndarray) -> tuple[float, float]:
    """The mean of `values` [n] and the half-width of its 95 % interval, 1.96·sd/√n (0 for a single value)."""
    if values.ndim != 1 or not values.size or values.dtype.kind not in NUMBERS:
        raise ValueError(f"values have shape {values.shape} and are {values.dtype}: give numbers [n], one at least")
    n = len(values)
    return float(np.mean(values)), 1.96 * float(np.std(values, ddof=1)) / math.sqrt(n) if n > 1 else 0.0


@checked
def mean(scores: np.ndarray) -> np.ndarray:
    """The mean over seeds and tasks of `scores` [..., seeds, tasks]; returns [...]."""
    _check_scores(scores)
    return scores.mean(axis=(-2, -1))


@checked
def interquartile_mean(scores: np.ndarray) -> np.ndarray:
    """The mean of the middle half of all of `scores` [..., seeds, tasks], pooled; returns [...].

    Of n scores the ⌊n/4⌋ lowest and the ⌊n/4⌋ highest are left out (Agarwal et al. 2021, section 4.3).
    """
    _check_scores(scores)
    pooled = scores.reshape(*scores.shape[:-2], -1)
    n = pooled.shape[-1]
    cut = n // 4
    return np.partition(pooled, (cut, n - cut - 1), axis=-1)[..., cut : n - cut].mean(axis=-1)


@checked
def estimate(
    scores: np.ndarray, statistic: Statistic, *, rng: np.random.Generator, resamples: Count = 2000
) -> Estimate:
    """`statistic` of `scores` [seeds, tasks] with its stratified bootstrap interval (Agarwal et al. 2021, section 4.1).

    Each task is a stratum: runs are resampled with replacement within each task, apart from the other tasks, and the
    interval reaches from the 2.5th to the 97.5th percentile of the resampled statistics. So it is about these very
    tasks, and other training seeds. With a single seed there is nothing to resample within a task: then tasks are
    resampled, and the interval is about other tasks, and this very seed; with a single task as well it has no width.

    Two things make it too narrow. The spread of n seeds within a task is estimated √((n − 1)/n) too small. And the
    scores of one seed on different tasks are taken as independent, as they are where every task has runs of its own;
    where one training run is judged on all tasks, a seed good or bad on all of them is not seen (3 seeds, 40 tasks,
    noise of 1 a score, simulated: intervals cover 90 % of the time, and 53 % if seeds differ by 0.3 on all tasks).
    Look at the means of the seeds too.

    Returns nan for all three where a score is not finite. Raises ValueError for scores that are not [seeds, tasks].
    """
    if scores.ndim != 2 or scores.size == 0:
        raise ValueError(f"scores have shape {scores.shape}: give [seeds, tasks], one of each at least")
    _check_scores(scores)
    if not np.isfinite(scores).all():
        return Estimate(math.nan, math.nan, math.nan)
    block = max(1, BLOCK // scores.size)
    sizes = [min(block, resamples - done) for done in range(0, resamples, block)]
    values = np.concatenate([statistic(_resample(scores, size, rng)) for size in sizes])
    low, high = np.percentile(values, (2.5, 97.5))
    return Estimate(float(statistic(scores)), float(low), float(high))


def _check_scores(scores: np.ndarray) -> None:
    """Raise ValueError unless `scores` are [..., seeds, tasks], one of each at least."""
    if scores.ndim < 2 or not scores.size or scores.dtype.kind not in NUMBERS:
        raise ValueError(
            f"scores have shape {scores.shape} and are {scores.dtype}: give numbers [..., seeds, tasks], one of each "
            "at least"
        )


def _resample(scores: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """`size` resamples [size, seeds, tasks] of `scores` [seeds, tasks]."""
    seeds, tasks = scores.shape
    if seeds == 1:
        return scores[0, rng.integers(tasks, size=(size, 1, tasks))]
    return scores[rng.integers(seeds, size=(size, seeds, tasks)), np.arange(tasks)]
