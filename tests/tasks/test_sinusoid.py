"""Sinusoid tasks: the paper's ranges, the formula, disjoint draws."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from toys import regressor

from metarl.core import Predictor
from metarl.losses import Samples
from metarl.tasks.sinusoid import Sinusoid, SinusoidTasks


def parts(tasks: SinusoidTasks) -> tuple[Samples, Samples, Samples]:
    """Support, query and, seen through `score`, the test points."""
    seen: list[Tensor] = []

    class Spy(Predictor):
        def __call__(self, x: Tensor) -> Tensor:
            seen.append(x)
            return torch.zeros_like(x)

    spy = Spy(regressor(), dict)
    score = tasks.score(spy)
    support, query = tasks.support(spy, 0), tasks.query(spy)
    return support, query, Samples(seen[0], score)


def fitted(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Amplitude and phase [T] of y = A·sin(x − φ) = a·sin x − b·cos x by least squares; asserts an exact fit."""
    waves = torch.cat([x.sin(), -x.cos()], -1).double()
    solution = torch.linalg.lstsq(waves, y.double()).solution
    torch.testing.assert_close(waves @ solution, y.double(), rtol=0, atol=1e-5)
    a, b = solution[..., 0, 0], solution[..., 1, 0]
    return torch.hypot(a, b), torch.atan2(b, a)


def test_ranges_and_formula() -> None:
    tasks = Sinusoid(shots=10, queries=30).sample(2000, np.random.default_rng(0))
    support, query, _ = parts(tasks)
    x, y = torch.cat([support.x, query.x], 1), torch.cat([support.y, query.y], 1)
    amplitude, phase = fitted(x, y)
    for values, low, high in ((amplitude, 0.1, 5.0), (phase, 0.0, math.pi), (x.flatten().double(), -5.0, 5.0)):
        margin = 0.01 * (high - low)
        assert low - 1e-4 <= values.min() <= low + margin  # inside the range, and all of it
        assert high - margin <= values.max() <= high + 1e-4
        assert float(values.mean()) == pytest.approx((low + high) / 2, abs=0.03 * (high - low))  # 4.6 sd of uniform


def test_the_same_wave_but_other_points_for_support_query_and_test() -> None:
    tasks = Sinusoid(shots=5, queries=7, tests=9).sample(4, np.random.default_rng(1))
    support, query, test = parts(tasks)
    assert tasks.n == 4
    assert [tuple(t.shape) for t in (*support, *query, test.x)] == [(4, 5, 1)] * 2 + [(4, 7, 1)] * 2 + [(4, 9, 1)]
    assert len(torch.cat([support.x, query.x, test.x], 1).unique()) == 4 * 21
    assert {leaf.dtype for leaf in (*support, *query)} == {torch.float32}
    amplitude, phase = fitted(torch.cat([support.x, query.x], 1), torch.cat([support.y, query.y], 1))
    assert len(amplitude.unique()) == 4
    wave = amplitude[:, None, None] * torch.sin(test.x.double() - phase[:, None, None])
    torch.testing.assert_close(test.y.double(), wave.square().mean((1, 2)), rtol=1e-4, atol=1e-5)  # score of ŷ = 0


def test_draws_follow_the_generator() -> None:
    first, again, other = (parts(Sinusoid().sample(3, np.random.default_rng(seed)))[0] for seed in (0, 0, 1))
    assert torch.equal(first.y, again.y)
    assert not torch.equal(first.y, other.y)


def test_memory_is_that_of_the_points() -> None:
    tasks = Sinusoid(shots=5, queries=7, tests=9)
    sampled = tasks.sample(4, np.random.default_rng(0))
    batches = (sampled.support(None, 0), sampled.query(None), sampled.test)  # type: ignore[arg-type]
    assert tasks.memory(4) == sum(leaf.nbytes for batch in batches for leaf in batch)


@pytest.mark.parametrize("name", ["shots", "queries", "tests"])
def test_counts_below_one_are_refused(name: str) -> None:
    few: dict[str, Any] = {name: 0}
    with pytest.raises(ValueError, match=f"{name} is 0"):
        Sinusoid(**few)
    Sinusoid(**{**few, name: 1})
