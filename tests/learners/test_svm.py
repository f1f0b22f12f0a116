"""The differentiable support vector machine against scipy's solvers, and its derivatives against finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from byhand import relative_error
from scipy.optimize import minimize
from torch import Tensor
from torch.nn import functional

from metarl.learners.svm import TOLERANCE, MetaOptNet, dual

COSTS = pytest.mark.parametrize("cost", [0.02, 0.1, 1.0])


def support(*, n: int = 7, features: int = 4, ways: int = 3, seed: int = 0) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(seed)
    labels = functional.one_hot(torch.from_numpy(rng.permuted(np.arange(n) % ways)), ways).double()
    return torch.from_numpy(rng.normal(size=(n, features))) + labels @ torch.eye(ways, features).double(), labels


def primal(weights: np.ndarray, features: np.ndarray, labels: np.ndarray, cost: float) -> float:
    """Crammer and Singer's objective: ½Σ‖w_k‖² + C Σ_i max_k(1 − δ + w_k·f_i − w_y·f_i)."""
    outputs = features @ weights.T
    slack = (outputs + 1 - labels).max(1) - (outputs * labels).sum(1)
    return float(0.5 * (weights**2).sum() + cost * slack.sum())


@COSTS
def test_weights_are_scipys_of_the_papers_dual_and_minimise_the_primal(cost: float) -> None:
    features, labels = support()
    (found,) = MetaOptNet(torch.nn.Identity(), ways=3, cost=cost).double().read(features, labels)
    f, y = features.numpy(), labels.numpy()

    def negative_dual(alpha: np.ndarray) -> tuple[float, np.ndarray]:  # the paper's dual, in its own variables
        a = alpha.reshape(y.shape)
        return 0.5 * ((a.T @ f) ** 2).sum() - (a * y).sum(), (f @ f.T @ a - y).ravel()

    bounds = [(None, cost * (k == row.argmax())) for row in y for k in range(3)]
    rows = {"type": "eq", "fun": lambda a: a.reshape(y.shape).sum(1), "jac": lambda a: np.kron(np.eye(7), np.ones(3))}
    settings = {"maxiter": 1000, "ftol": 1e-14}
    solved = minimize(
        negative_dual, np.zeros(21), jac=True, bounds=bounds, constraints=[rows], method="SLSQP", options=settings
    )
    assert solved.success
    assert relative_error(found, torch.from_numpy(solved.x.reshape(y.shape).T @ f)) < 1e-3
    assert primal(found.numpy(), f, y, cost) == pytest.approx(-solved.fun, rel=1e-5)  # no duality gap


@pytest.mark.parametrize("shape", [(5, 64, 5), (25, 64, 5), (75, 64, 5), (40, 3, 4)])
def test_fifteen_iterations_close_the_duality_gap(shape: tuple[int, int, int]) -> None:
    n, d, ways = shape
    features, labels = support(n=n, features=max(d, ways), ways=ways)
    for cost in (0.1, 10.0):
        p = dual(cost * features @ features.T, labels, iterations=15)
        weights = cost * (labels - p).T @ features
        value = float((cost * (1 - (p * labels).sum(1))).sum() - 0.5 * weights.square().sum())
        gap = primal(weights.numpy(), features.numpy(), labels.numpy(), cost) - value
        most = TOLERANCE * cost * n * ways  # Σ p·λ; the primal's own slack is less than or equal to λ's
        assert 0.1 * most < gap < 1.01 * most
        assert p.min() > 0
        torch.testing.assert_close(p.sum(1), torch.ones(n).double())


@COSTS
def test_first_and_second_derivatives_are_those_of_the_solution(cost: float) -> None:
    features, labels = support()
    learner, toward = MetaOptNet(torch.nn.Identity(), ways=3, cost=cost, iterations=25).double(), support(seed=1)[0]

    def value(f: Tensor) -> Tensor:
        return functional.cross_entropy(5 * toward @ learner.read(f, labels)[0].T, labels)

    def gradient(f: Tensor) -> Tensor:
        return torch.func.grad(value)(f)

    direction = torch.randn(features.shape, generator=torch.Generator().manual_seed(0)).double()
    h = 1e-6
    slope = float(value(features + h * direction) - value(features - h * direction)) / (2 * h)
    assert float((gradient(features) * direction).sum()) == pytest.approx(slope, rel=1e-5)
    second = torch.func.jvp(gradient, (features,), (direction,))[1]
    by_steps = (gradient(features + h * direction) - gradient(features - h * direction)) / (2 * h)
    assert relative_error(second, by_steps) < 1e-4


def test_a_problem_solved_by_hand() -> None:
    """Two opposite points: w = ±C·f while C‖f‖² ≤ ½·½, then the margin binds: w_1·f − w_2·f = 1."""
    features, labels = torch.tensor([[2.0, 0.0], [-2.0, 0.0]]).double(), torch.eye(2).double()
    for cost, expected in ((0.01, 0.04), (10.0, 0.25)):
        (found,) = MetaOptNet(torch.nn.Identity(), ways=2, cost=cost).double().read(features, labels)
        want = torch.tensor([[expected, 0.0], [-expected, 0.0]]).double()
        torch.testing.assert_close(found, want, rtol=1e-3, atol=1e-4)


def test_scale_multiplies_the_logits() -> None:
    (features, labels), query = support(), torch.randn(2, 4).double()
    plain, scaled = (MetaOptNet(torch.nn.Identity(), ways=3, scale=s).double() for s in (1.0, 3.0))
    (weights,) = plain.read(features, labels)
    torch.testing.assert_close(scaled.logits((weights,), query), 3 * query @ weights.T, rtol=1e-6, atol=1e-6)


def test_single_precision_features_and_settings() -> None:
    features, labels = support()
    double = MetaOptNet(torch.nn.Identity(), ways=3).double().read(features, labels)[0]
    single = MetaOptNet(torch.nn.Identity(), ways=3).read(features.float(), labels.float())[0]
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), double, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="cost is 0"):
        MetaOptNet(torch.nn.Identity(), ways=3, cost=0)
