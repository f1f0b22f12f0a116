"""Ridge and logistic heads against their closed form and scipy's minimiser."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor, nn
from torch.nn import functional

from metarl.learners.heads import LRD2, R2D2
from metarl.losses import Samples


def batch(n: int, d: int, *, seed: int = 0) -> Samples:
    rng = torch.Generator().manual_seed(seed)
    return Samples(torch.randn(n, d, generator=rng).double(), torch.arange(n) % 3)


def with_bias(x: Tensor) -> Tensor:
    return torch.cat([x, torch.ones(len(x), 1).double()], 1)


@pytest.mark.parametrize(("n", "d"), [(6, 10), (12, 4)])
def test_ridge_is_the_normal_equations(n: int, d: int) -> None:
    """Woodbury's n × n form gives the (d + 1) × (d + 1) form's weights, whichever is smaller."""
    learner = R2D2(nn.Identity(), ways=3, penalty=0.7, scale=2.5).double()
    support, query = batch(n, d), batch(5, d, seed=1).x
    x, labels = with_bias(support.x), functional.one_hot(support.y, 3).double()
    weights = torch.linalg.solve(x.T @ x + 0.7 * torch.eye(d + 1).double(), x.T @ labels)
    state = learner.step((), support, 0)
    torch.testing.assert_close(state[0], weights, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(learner.predict(state, query), 2.5 * with_bias(query) @ weights, rtol=1e-6, atol=1e-6)


def test_ridge_penalty_and_scale_are_learned() -> None:
    learner, support, query = R2D2(nn.Identity(), ways=3).double(), batch(6, 10), batch(6, 10, seed=1)
    loss = functional.cross_entropy(learner.predict(learner.step((), support, 0), query.x), query.y)
    assert sorted(name for name, _ in learner.named_parameters()) == ["log_penalty", "log_scale"]
    assert all(abs(float(g)) > 1e-4 for g in torch.autograd.grad(loss, list(learner.parameters())))


@pytest.mark.parametrize("penalty", [0.05, 1.0])
def test_logistic_is_scipys_minimum(penalty: float) -> None:
    support = batch(9, 5)
    learner = LRD2(nn.Identity(), ways=3, penalty=penalty, iterations=12).double()
    x, found = with_bias(support.x).numpy(), learner.step((), support, 0)[0].detach().numpy()
    for k in range(3):
        signs = np.where(support.y.numpy() == k, 1.0, -1.0)

        def loss(w: np.ndarray, signs: np.ndarray = signs) -> float:
            return np.logaddexp(0, -signs * (x @ w)).sum() + penalty / 2 * (w @ w)

        best = minimize(loss, np.zeros(6), method="BFGS", options={"gtol": 1e-9})
        np.testing.assert_allclose(found[:, k], best.x, rtol=1e-4, atol=1e-5)


def test_five_logistic_iterations_are_newtons() -> None:
    support, penalty = batch(9, 5), 0.3
    learner, x = LRD2(nn.Identity(), ways=3, penalty=penalty).double(), with_bias(support.x)
    w = torch.zeros(6).double()
    for _ in range(5):
        p = (x @ w).sigmoid()
        gradient = x.T @ (p - (support.y == 1).double()) + penalty * w
        hessian = x.T @ ((p * (1 - p))[:, None] * x) + penalty * torch.eye(6).double()
        w = w - torch.linalg.solve(hessian, gradient)
    torch.testing.assert_close(learner.step((), support, 0)[0][:, 1], w, rtol=1e-5, atol=1e-6)
    query = batch(4, 5, seed=1).x
    logits = learner.predict(learner.step((), support, 0), query)
    torch.testing.assert_close(logits[:, 1], with_bias(query) @ w, rtol=1e-5, atol=1e-5)


def test_large_separable_features_stay_finite_in_single_precision() -> None:
    x = 300 * functional.one_hot(torch.arange(6) % 3, 3).float()
    learner = LRD2(nn.Identity(), ways=3, penalty=1e-3)
    logits = learner.predict(learner.step((), Samples(x, torch.arange(6) % 3), 0), x)
    assert torch.isfinite(logits).all()
    assert logits.argmax(1).tolist() == [0, 1, 2, 0, 1, 2]
    slopes = torch.autograd.grad(logits.sum(), list(learner.parameters()))
    assert all(torch.isfinite(slope).all() for slope in slopes)


@pytest.mark.parametrize("head", [R2D2, LRD2])
def test_a_penalty_that_vanishes_leaves_the_system_regular(head: type[R2D2 | LRD2]) -> None:
    learner = head(nn.Identity(), ways=2)
    with torch.no_grad():
        learner.log_penalty.fill_(-200.0)  # exp of it is 0 in float32
    twice = torch.tensor([[1.0, 2.0], [1.0, 2.0], [-3.0, 1.0], [-3.0, 1.0]])  # of rank 2 (3 with the ones)
    state = learner.step((), Samples(twice, torch.tensor([0, 0, 1, 1])), 0)
    logits = learner.predict(state, twice)
    assert logits.isfinite().all()
    assert torch.equal(logits.argmax(1), torch.tensor([0, 0, 1, 1]))
    logits.square().sum().backward()  # type: ignore[no-untyped-call]
    assert learner.log_penalty.grad is not None
    assert learner.log_penalty.grad.isfinite()


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="penalty is 0"):
        R2D2(nn.Identity(), ways=3, penalty=0)
    with pytest.raises(ValueError, match="scale is -1"):
        R2D2(nn.Identity(), ways=3, scale=-1)
    with pytest.raises(ValueError, match="iterations is 0"):
        LRD2(nn.Identity(), ways=3, iterations=0)
