"""Interquartile means and bootstrap intervals, against scipy, closed forms and simulated truth."""

import math

import numpy as np
import pytest
from scipy import stats

from metarl import statistics
from metarl.statistics import estimate, interquartile_mean, mean

# Tasks far apart and seeds that are good or bad on all tasks: resampling tasks, or whole seeds, gives other intervals.
RNG = np.random.default_rng(0)
SCORES = 10 * np.arange(6.0) + RNG.normal(size=(9, 1)) + RNG.normal(size=(9, 6)) * np.linspace(0.5, 2, 6)


@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (1, 4), (3, 5), (2, 8), (4, 600)])
def test_interquartile_mean_is_scipys_trimmed_mean(shape: tuple[int, int]) -> None:
    scores = np.random.default_rng(1).standard_cauchy((7, *shape))
    expected = [stats.trim_mean(s, proportiontocut=0.25, axis=None) for s in scores]
    np.testing.assert_allclose(interquartile_mean(scores), expected, rtol=1e-12)


def test_interquartile_mean_pools_seeds_and_tasks() -> None:
    assert interquartile_mean(np.array([[1.0, 2.0, 90.0, 3.0], [4.0, 5.0, 6.0, -70.0]])) == 3.5
    np.testing.assert_allclose(mean(np.arange(12.0).reshape(2, 2, 3)), [2.5, 8.5])


def test_interval_of_the_mean_is_scipys() -> None:
    def statistic(*tasks: np.ndarray, axis: int) -> np.ndarray:
        return np.mean([task.mean(axis=axis) for task in tasks], axis=0)

    expected = stats.bootstrap(
        tuple(SCORES.T), statistic, method="percentile", n_resamples=40_000, vectorized=True,
        rng=np.random.default_rng(2),
    ).confidence_interval  # fmt: skip
    ours = estimate(SCORES, mean, rng=np.random.default_rng(3), resamples=40_000)
    tolerance = 0.04 * (expected.high - expected.low)
    assert ours.value == pytest.approx(SCORES.mean(), rel=1e-12)
    assert ours.low == pytest.approx(expected.low, abs=tolerance)
    assert ours.high == pytest.approx(expected.high, abs=tolerance)


def test_interval_of_the_mean_is_the_stratified_standard_errors() -> None:
    seeds, tasks = SCORES.shape
    error = math.sqrt((SCORES.var(axis=0) / seeds).sum()) / tasks
    ours = estimate(SCORES, mean, rng=np.random.default_rng(4), resamples=40_000)
    assert ours.high - ours.low == pytest.approx(2 * 1.96 * error, rel=0.03)
    assert ours.high + ours.low == pytest.approx(2 * SCORES.mean(), abs=0.1 * error)


def test_a_single_seed_resamples_tasks() -> None:
    values = np.random.default_rng(5).normal(size=(1, 50))
    ours = estimate(values, mean, rng=np.random.default_rng(6), resamples=40_000)
    assert ours.high - ours.low == pytest.approx(2 * 1.96 * values.std() / math.sqrt(50), rel=0.03)
    assert estimate(np.array([[7.0]]), mean, rng=np.random.default_rng(0)) == (7.0, 7.0, 7.0)


@pytest.mark.parametrize("statistic", [mean, interquartile_mean])
@pytest.mark.parametrize(("seeds", "tasks"), [(10, 6), (1, 60)])
def test_intervals_cover_the_truth(statistic: statistics.Statistic, seeds: int, tasks: int) -> None:
    rng = np.random.default_rng(7)
    covered, trials = 0, 400
    for _ in range(trials):
        found = estimate(rng.normal(3.0, 1.0, (seeds, tasks)), statistic, rng=rng, resamples=400)
        covered += found.low <= 3.0 <= found.high
    assert 0.90 <= covered / trials <= 0.97  # a little below 95 %, as the docstring says


def test_blocks_of_resamples_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = estimate(SCORES, interquartile_mean, rng=np.random.default_rng(8), resamples=101)
    monkeypatch.setattr(statistics, "BLOCK", 10 * SCORES.size)
    assert estimate(SCORES, interquartile_mean, rng=np.random.default_rng(8), resamples=101) == whole
    assert estimate(SCORES, interquartile_mean, rng=np.random.default_rng(9), resamples=101) != whole


def test_what_cannot_be_estimated() -> None:
    diverged = estimate(np.array([[1.0, math.inf], [2.0, 3.0]]), interquartile_mean, rng=np.random.default_rng(0))
    assert all(math.isnan(value) for value in diverged)
    for wrong in (np.ones(3), np.ones((0, 3))):
        with pytest.raises(ValueError, match=r"give \[seeds, tasks\]"):
            estimate(wrong, mean, rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match="resamples is 0"):
        estimate(np.ones((2, 2)), mean, rng=np.random.default_rng(0), resamples=0)
