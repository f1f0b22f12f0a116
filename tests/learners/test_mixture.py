"""Infinite mixture prototypes: clusters worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from metarl.learners.mixture import IMP, Clusters
from metarl.losses import Samples


def learner(**settings: float) -> IMP:
    return IMP(nn.Identity(), ways=2, **settings).double()


def read(imp: IMP, x: Tensor, y: list[int]) -> Clusters:
    return imp.step((), Samples(x.double(), torch.tensor(y)), 0)


def clusters(state: Clusters) -> dict[int, list[list[float]]]:
    """The centres of each class, in order."""
    alive = state.owners.sum(1) > 0
    rows, owners = state.centres[alive].round(decimals=4).tolist(), state.owners[alive].argmax(1).tolist()
    return {k: sorted(row for row, owner in zip(rows, owners, strict=True) if owner == k) for k in (0, 1)}


def test_a_class_of_two_groups_gets_a_cluster_for_each() -> None:
    """Class 0 lies at 0 and 10, class 1 at 5: λ = −2 log 0.1 is below 25, the squared distance to class 0's mean.

    That mean, 5, keeps shares of 4e-6 of the points, and is no cluster any more.
    """
    imp = learner(variance=1.0)
    state = read(imp, torch.tensor([[0.0], [10.0], [5.0], [0.0], [10.0], [5.0]]), [0, 0, 1, 0, 0, 1])
    assert clusters(state) == {0: [[0.0], [10.0]], 1: [[5.0]]}
    logits = imp.logits(state, torch.tensor([[9.8], [5.2]]).double())
    expected = torch.tensor([[-0.02, -11.52], [-11.52, -0.02]]).double()
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)


def test_a_class_that_holds_together_keeps_one_prototype() -> None:
    state = read(learner(variance=1.0), torch.tensor([[0.0], [1.0], [8.0], [9.0]]), [0, 0, 1, 1])
    assert clusters(state) == {0: [[0.5]], 1: [[8.5]]}


def test_limit_is_the_papers() -> None:
    imp = learner(variance=2.0, concentration=0.3)
    means = torch.tensor([[0.0, 1.0, 5.0], [4.0, 1.0, 3.0]]).double()  # variances 8, 0 and 2
    rho = 10 / 3
    assert float(imp.limit(means).detach()) == pytest.approx(-2 * 2 * math.log(0.3 / (1 + rho / 2) ** 1.5), rel=1e-6)


def by_hand(x: np.ndarray, y: np.ndarray, variance: float, limit: float) -> list[tuple[int, np.ndarray]]:
    """The algorithm with growing lists: (class, centre) of every cluster."""
    found = [(k, x[y == k].mean(0)) for k in (0, 1)]
    for point, label in zip(x, y, strict=True):
        if min(((point - c) ** 2).sum() for k, c in found if k == label) > limit:
            found.append((label, point))
    shares = np.array([
        [math.exp(-((p - c) ** 2).sum() / (2 * variance)) * (k == label) for k, c in found]
        for p, label in zip(x, y, strict=True)
    ])  # fmt: skip
    shares /= shares.sum(1, keepdims=True)
    held = shares.sum(0)
    return [(k, shares[:, j] @ x / held[j]) for j, (k, _) in enumerate(found) if held[j] > 1e-3]


@pytest.mark.parametrize("seed", range(4))
def test_slots_give_what_growing_lists_give(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = 2 * rng.normal(size=(12, 2)), rng.permuted(np.arange(12) % 2)
    imp = learner(variance=0.5, concentration=0.4)
    means = np.stack([x[y == k].mean(0) for k in (0, 1)])
    expected = by_hand(x, y, 0.5, float(imp.limit(torch.from_numpy(means)).detach()))
    assert len(expected) > 4  # several clusters a class
    found = read(imp, torch.from_numpy(x), y.tolist())
    there = found.owners.sum(1) > 0
    np.testing.assert_allclose(found.centres[there].detach(), [c for _, c in expected], atol=1e-6)
    assert found.owners[there].argmax(1).tolist() == [k for k, _ in expected]


def test_with_one_shot_it_is_a_prototype_network() -> None:
    imp, x = learner(variance=1.0), torch.randn(2, 3)
    state = read(imp, x, [1, 0])
    torch.testing.assert_close(state.centres[:2], x[[1, 0]].double())
    assert state.owners.sum() == 2


def test_variance_is_learned_from_queries() -> None:
    imp = learner(variance=3.0)
    state = read(imp, torch.tensor([[0.0], [4.0]]), [0, 1])
    logits = imp.logits(state, torch.tensor([[1.0]]).double())
    torch.testing.assert_close(logits, torch.tensor([[-1 / 6, -9 / 6]]).double(), rtol=1e-6, atol=1e-6)
    loss = functional.cross_entropy(logits, torch.tensor([0]))
    (slope,) = torch.autograd.grad(loss, [imp.log_variance])
    p = 1 / (1 + math.exp(-8 / 6))
    assert float(slope) == pytest.approx((1 - p) * 8 / 6, rel=1e-5)  # d/dlogσ of log(1 + exp(−8 / 2σ))


def test_settings_must_be_positive() -> None:
    for name in ("variance", "concentration"):
        with pytest.raises(ValueError, match=f"{name} is 0"):
            learner(**{name: 0.0})
