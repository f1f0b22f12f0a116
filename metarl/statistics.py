"""Means, interquartile means and 95 % confidence intervals of scores."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from metarl.ranges import Count, checked

Statistic = Callable[[np.ndarray], np.ndarray]
"""A function from scores [..., seeds, tasks] to [...]."""
NUMBERS = "fiub"  # the kinds of NumPy's numerical data types
BLOCK = 4_000_000  # the number of resampled scores in memory at a time


class Estimate(NamedTuple):
    """A statistic of scores and the bounds of its 95 % interval."""

    value: float
    low: float
    high: float


@checked
def mean_ci95(values: np.ndarray) -> tuple[float, float]:
    """The mean of `values` [n] and the half-width of its 95 % interval, 1.96·sd/√n, or 0 for a single value."""
    if values.ndim != 1 or not values.size or values.dtype.kind not in NUMBERS:
        raise ValueError(f"values have shape {values.shape} and are {values.dtype}: give at least one number, [n]")
    n = len(values)
    return float(np.mean(values)), 1.96 * float(np.std(values, ddof=1)) / math.sqrt(n) if n > 1 else 0.0


@checked
def mean(scores: np.ndarray) -> np.ndarray:
    """The mean over seeds and tasks of `scores` [..., seeds, tasks]; returns [...]."""
    _check_scores(scores)
    return scores.mean(axis=(-2, -1))


@checked
def interquartile_mean(scores: np.ndarray) -> np.ndarray:
    """The mean of the middle half of `scores` [..., seeds, tasks], pooled over seeds and tasks; returns [...].

    The ⌊n/4⌋ lowest and the ⌊n/4⌋ highest of n scores are left out (Agarwal et al. 2021, section 4.3).
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

    Each task is a stratum: seeds are resampled with replacement, independently for each task, and the interval reaches
    from the 2.5th to the 97.5th percentile of the resampled statistics. It describes the variation over training seeds
    for these fixed tasks. With a single seed, tasks are resampled instead, and the interval describes the variation
    over tasks for this fixed seed; with a single task as well, its width is 0.

    The interval is too narrow for two reasons. The standard deviation of n seeds within a task is underestimated by the
    factor √((n − 1)/n). And the scores of one seed on different tasks are treated as independent, which they are not
    if one training run is evaluated on all tasks and is good or bad on all of them. (In a simulation of 3 seeds and 40
    tasks with noise of standard deviation 1, intervals cover the true value in 90 % of cases, and in 53 % if seeds
    differ by 0.3 on all tasks.) Therefore also report the mean of each seed.

    Returns nan for all three numbers if a score is not finite. Raises ValueError unless scores are [seeds, tasks].
    """
    if scores.ndim != 2 or scores.size == 0:
        raise ValueError(f"scores have shape {scores.shape}: give [seeds, tasks], at least one of each")
    _check_scores(scores)
    if not np.isfinite(scores).all():
        return Estimate(math.nan, math.nan, math.nan)
    block = max(1, BLOCK // scores.size)
    sizes = [min(block, resamples - done) for done in range(0, resamples, block)]
    values = np.concatenate([statistic(_resample(scores, size, rng)) for size in sizes])
    low, high = np.percentile(values, (2.5, 97.5))
    return Estimate(float(statistic(scores)), float(low), float(high))


def _check_scores(scores: np.ndarray) -> None:
    """Raise ValueError unless `scores` are numbers [..., seeds, tasks], with at least one seed and one task."""
    if scores.ndim < 2 or not scores.size or scores.dtype.kind not in NUMBERS:
        raise ValueError(
            f"scores have shape {scores.shape} and are {scores.dtype}: give numbers [..., seeds, tasks], at least one "
            "of each"
        )


def _resample(scores: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Draw `size` bootstrap resamples [size, seeds, tasks] of `scores` [seeds, tasks]."""
    seeds, tasks = scores.shape
    if seeds == 1:
        return scores[0, rng.integers(tasks, size=(size, 1, tasks))]
    return scores[rng.integers(seeds, size=(size, seeds, tasks)), np.arange(tasks)]
