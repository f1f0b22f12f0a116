"""ALPaCA against Bayesian linear regression by Gaussian conditioning, and on sinusoids."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from byhand import relative_error
from torch import Tensor, nn
from torch.distributions import Normal

from metarl.algorithms.descent import Descent
from metarl.core import Episodes, Predictor, collect
from metarl.learners.bayesian import ALPaCA, gaussian_nll
from metarl.losses import Samples
from metarl.nets.mlp import MLP
from metarl.objectives import final
from metarl.tasks.sinusoid import Sinusoid
from metarl.train import train


def learner(*, noise: float = 0.3) -> ALPaCA:
    torch.manual_seed(0)
    model = ALPaCA(nn.Identity(), features=3, outputs=2, noise=noise).double()
    with torch.no_grad():
        model.mean.normal_()
        model.root.add_(0.5 * torch.randn(3, 3))
    return model


def conditioned(model: ALPaCA, support: Samples, x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of targets at x: the joint Gaussian of all targets, conditioned on the support's."""
    covariance = model.noise * torch.linalg.inv(model.root @ model.root.T)
    phi = torch.cat([support.x, x])
    joint = phi @ covariance @ phi.T + model.noise * torch.eye(len(phi)).double()
    n = len(support.x)
    gain = joint[n:, :n] @ torch.linalg.inv(joint[:n, :n])
    mean = x @ model.mean + gain @ (support.y - support.x @ model.mean)
    return mean, (joint[n:, n:] - gain @ joint[:n, n:]).diagonal()


@pytest.mark.parametrize("n", [2, 8])
def test_posterior_is_a_conditioned_gaussian(n: int) -> None:
    model = learner()
    support, x = Samples(torch.randn(n, 3).double(), torch.randn(n, 2).double()), torch.randn(5, 3).double()
    mean, log_std = model.predict(model.step(model.init(), support, 0), x)
    expected, variance = conditioned(model, support, x)
    torch.testing.assert_close(mean, expected)
    torch.testing.assert_close((2 * log_std).exp(), variance[:, None].expand(-1, 2))


def test_the_prior_predicts_before_a_support_and_steps_are_bayes_rule() -> None:
    model = learner()
    support, x = Samples(torch.randn(6, 3).double(), torch.randn(6, 2).double()), torch.randn(5, 3).double()
    mean, log_std = model.predict(model.init(), x)
    torch.testing.assert_close(mean, x @ model.mean)
    spread = (x * (torch.linalg.inv(model.root @ model.root.T) @ x.T).T).sum(1)
    torch.testing.assert_close((2 * log_std[:, 0]).exp(), 0.3 * (1 + spread))
    halves = (Samples(support.x[:2], support.y[:2]), Samples(support.x[2:], support.y[2:]))
    once, twice = model.states((support,))[-1], model.states(halves)[-1]
    torch.testing.assert_close(model.predict(once, x), model.predict(twice, x))


def test_nll_is_torchs() -> None:
    mean, log_std, y = (torch.randn(7, 2).double() for _ in range(3))
    found = gaussian_nll(lambda x: (mean, log_std), Samples(y, y))
    torch.testing.assert_close(found, -Normal(mean, log_std.exp()).log_prob(y).mean())


def test_meta_gradient_through_vmap_is_that_of_a_loop() -> None:
    model = learner()
    draw = [torch.randn(4, n, d).double() for n, d in ((5, 3), (5, 2), (6, 3), (6, 2))]
    episodes = Episodes((Samples(*draw[:2]),), Samples(*draw[2:]))
    parameters = list(model.parameters())
    found = torch.autograd.grad(model(episodes, final(gaussian_nll)).mean(), parameters)
    terms = []
    for t in range(4):
        support, query = Samples(*(d[t] for d in draw[:2])), Samples(*(d[t] for d in draw[2:]))
        mean, variance = conditioned(model, support, query.x)
        terms.append(-Normal(mean, variance.sqrt()[:, None]).log_prob(query.y).mean())
    for by_vmap, by_loop in zip(found, torch.autograd.grad(torch.stack(terms).mean(), parameters), strict=True):
        assert relative_error(by_vmap, by_loop) < 1e-8


def test_sinusoids() -> None:
    """After a short training, ten points leave a twentieth of the prior's error, and the variance tells how much."""
    torch.manual_seed(0)
    model = ALPaCA(MLP(1, 16, hidden=(40, 40), activation="tanh"), features=16)
    outer = Descent(model, final(gaussian_nll), optimizer=lambda p: torch.optim.Adam(p, lr=3e-3))
    waves = Sinusoid(shots=10, queries=20)
    for _ in train(outer, waves, iterations=200, meta_batch=20):
        pass
    episodes = collect(model, waves.sample(200, np.random.default_rng(1)))
    with torch.no_grad():
        states = torch.func.vmap(model.states)(episodes.support)
        (prior, _), (mean, log_std) = (Predictor(model, lambda s=s: s)(episodes.query.x) for s in states)
    errors = (mean - episodes.query.y).square()
    assert errors.mean() < 0.05 * (prior - episodes.query.y).square().mean()
    assert 0.2 < (errors / (2 * log_std).exp()).mean() < 2.0


def test_noise_must_be_positive() -> None:
    with pytest.raises(ValueError, match="noise is 0"):
        ALPaCA(nn.Identity(), features=3, noise=0)
