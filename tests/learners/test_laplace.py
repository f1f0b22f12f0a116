"""Laplace's method: exact evidence of linear regression, exact Hessians, and its meta-gradient."""

from __future__ import annotations

import byhand
import numpy as np
import pytest
import torch
from byhand import finite_differences, flat, relative_error
from few_shot import FEATURES, INPUTS, WAYS, Clouds, cloud_episodes
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

from metarl.algorithms.descent import Descent
from metarl.core import meta_gradient
from metarl.evaluation import evaluate
from metarl.learners.gradient import GradientLearner
from metarl.learners.heads import with_ones
from metarl.learners.laplace import Headed, gaussian_roots, laplace, log_determinant, softmax_roots
from metarl.losses import cross_entropy
from metarl.nets.mlp import MLP
from metarl.objectives import final, multi_step
from metarl.train import train


def classifier(**settings: object) -> GradientLearner:
    torch.manual_seed(0)
    encoder = MLP(INPUTS, FEATURES, hidden=(10,), activation="tanh")
    net = Headed(encoder, features=FEATURES, outputs=WAYS)
    return GradientLearner(net, cross_entropy, **{"steps": 2, "lr": 0.3, **settings})  # type: ignore[arg-type]


def test_evidence_of_linear_regression_is_exact() -> None:
    """y = Wf + b + ε for two outputs: around the best fit Laplace's method has p(y | θ) to the last digit."""
    torch.manual_seed(0)
    x, y, prior = torch.randn(5, 3).double(), torch.randn(5, 2).double(), torch.randn(4, 2).double()
    precision, noise, f = 0.7, 0.3, with_ones(x)
    truth = torch.zeros(()).double()
    for j in range(2):
        marginal = MultivariateNormal(f @ prior[:, j], f @ f.T / precision + noise * torch.eye(5).double())
        truth = truth - marginal.log_prob(y[:, j])
    best = torch.linalg.solve(f.T @ f / noise + precision * torch.eye(4), f.T @ y / noise + precision * prior)
    errors, constant = y - f @ best, 0.5 * y.numel() * np.log(2 * np.pi * noise)
    fit = 0.5 * errors.square().sum() / noise + constant + 0.5 * precision * (best - prior).square().sum()
    volume = log_determinant(x, gaussian_roots(noise)(f @ best), precision=precision)
    torch.testing.assert_close(fit + 0.5 * volume, truth, rtol=1e-12, atol=0)


def test_the_objective_has_the_exact_hessian_of_the_head() -> None:
    learner, episode = classifier(adapt="head").double(), byhand.task(cloud_episodes(), 0)
    state = learner.states(episode.support)[-1]
    (x, y), precision = episode.support[0], 0.4
    features = learner.net.get_submodule("encoder")(x)

    def posterior(head: Tensor) -> Tensor:
        weight, bias = head[:-WAYS].view(WAYS, FEATURES), head[-WAYS:]
        return nn.functional.cross_entropy(features @ weight.T + bias, y, reduction="sum") + (
            0.5 * precision * head.square().sum()
        )

    head = torch.cat([state["head.weight"].flatten(), state["head.bias"]])
    truth = torch.logdet(torch.autograd.functional.hessian(posterior, head) / precision)
    plain, whole = (
        float(learner(episodes, objective)[0].detach())
        for episodes, objective in (
            (cloud_episodes(), final(cross_entropy)),
            (cloud_episodes(), laplace(final(cross_entropy), softmax_roots, weight=0.25, precision=precision)),
        )
    )
    assert whole - plain == pytest.approx(0.25 * float(truth.detach()), rel=1e-10)
    assert float(truth.detach()) > 1


def test_meta_gradient_is_that_of_finite_differences_in_any_chunk() -> None:
    learner, episodes = classifier().double(), cloud_episodes()
    objective = laplace(final(cross_entropy), softmax_roots, weight=0.1)
    value, gradients = meta_gradient(learner, episodes, objective)
    gradient, parameters = flat(gradients), list(learner.parameters())
    direction = [torch.randn_like(p) for p in parameters]
    start, along = [p.detach().clone() for p in parameters], torch.zeros(1, dtype=torch.float64)

    def moved() -> float:
        with torch.no_grad():
            for p, origin, change in zip(parameters, start, direction, strict=True):
                p.copy_(origin + float(along) * change)
        return meta_gradient(learner, episodes, objective)[0]

    slope = float(finite_differences(moved, [along]))
    moved()
    assert float(gradient @ flat(direction)) == pytest.approx(slope, rel=1e-6)
    for chunk in (1, 2):
        chunked_value, chunked = meta_gradient(learner, episodes, objective, chunk=chunk)
        assert chunked_value == pytest.approx(value, rel=1e-12)
        assert relative_error(flat(chunked), gradient) < 1e-10
    assert relative_error(gradient, flat(meta_gradient(learner, episodes, final(cross_entropy))[1])) > 1e-3


def test_sure_predictions_have_finite_derivatives() -> None:
    outputs = torch.tensor([[200.0, 0.0, -200.0]], requires_grad=True)
    volume = log_determinant(torch.ones(1, 2), softmax_roots(outputs), precision=1.0)
    torch.testing.assert_close(volume.detach(), torch.zeros(()))
    assert torch.autograd.grad(volume, outputs)[0].isfinite().all()


def test_clouds() -> None:
    learner = classifier(steps=3, lr=0.5)

    def accuracy() -> float:
        return float(evaluate(learner, Clouds(), steps=3, num_tasks=100, rng=np.random.default_rng(1))[-1].mean())

    before = accuracy()
    objective = laplace(final(cross_entropy), softmax_roots, weight=1e-3)
    algorithm = Descent(learner, objective, optimizer=lambda p: torch.optim.Adam(p, lr=0.01))
    for _ in train(algorithm, Clouds(), iterations=120, meta_batch=16):
        pass
    assert before < 0.6
    assert accuracy() > 0.8


def test_the_volume_is_added_to_any_objective() -> None:
    learner, episodes = classifier(steps=2).double(), cloud_episodes()
    episodes = episodes._replace(support=episodes.support * 2)
    weighted, last = multi_step(cross_entropy, (0.7, 0.3)), final(cross_entropy)
    volumes = [
        learner(episodes, laplace(objective, softmax_roots, weight=1.0)) - learner(episodes, objective)
        for objective in (weighted, last)
    ]
    torch.testing.assert_close(*volumes)
    assert not torch.allclose(learner(episodes, weighted), learner(episodes, last))
