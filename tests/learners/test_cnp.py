"""Conditional neural processes against their definition, written out point by point."""

from __future__ import annotations

from itertools import pairwise

import byhand
import numpy as np
import pytest
import torch
from few_shot import cloud_episodes
from torch import nn
from toys import Waves, random_samples

from metarl.algorithms.descent import Descent
from metarl.core import collect
from metarl.learners.bayesian import gaussian_nll
from metarl.learners.cnp import CNP, CNPClassifier
from metarl.losses import Samples
from metarl.nets.mlp import MLP
from metarl.objectives import final
from metarl.train import train


def process(*, least_std: float = 0.1) -> CNP:
    torch.manual_seed(0)
    return CNP(MLP(2, 4, hidden=(5,)), MLP(5, 2, hidden=(6,)), features=4, least_std=least_std)


def test_regression_is_the_papers() -> None:
    learner, rng = process(least_std=0.2).double(), np.random.default_rng(0)
    support, query = (byhand.task(random_samples(1, n, rng), 0) for n in (6, 3))
    mean, log_std = learner.predict(learner.states((support,))[1], query.x)
    r = torch.stack([learner.encoder(torch.cat([x, y])) for x, y in zip(*support, strict=True)]).mean(0)
    for i, x in enumerate(query.x):
        expected, spread = learner.decoder(torch.cat([r, x]))
        torch.testing.assert_close(mean[i, 0], expected)
        torch.testing.assert_close(log_std[i, 0].exp(), 0.2 + 0.8 * (1 + spread.exp()).log())


def test_before_a_support_r_is_0_and_further_steps_add_their_points() -> None:
    learner, rng = process().double(), np.random.default_rng(0)
    points = byhand.task(random_samples(1, 7, rng), 0)
    parts = [Samples(points.x[a:b], points.y[a:b]) for a, b in pairwise((0, 2, 7))]
    once, twice = learner.states((points,)), learner.states(parts)
    for found, expected in zip(learner.predict(twice[2], points.x), learner.predict(once[1], points.x), strict=True):
        torch.testing.assert_close(found, expected)
    mean, _ = learner.predict(learner.init(), points.x)
    blank = torch.cat([torch.zeros(7, 4).double(), points.x], 1)
    torch.testing.assert_close(mean, learner.decoder(blank)[:, :1])


def test_classification_joins_the_means_of_the_classes() -> None:
    torch.manual_seed(0)
    learner = CNPClassifier(nn.Tanh(), ways=3, features=8, hidden=(5,)).double()
    episode = byhand.task(cloud_episodes(), 0)
    support, query = episode.support[0], episode.query.x
    logits = learner.predict(learner.states((support,))[1], query)
    means = [support.x[support.y == k].tanh().mean(0) for k in range(3)]
    for i, x in enumerate(query):
        torch.testing.assert_close(logits[i], learner.decoder(torch.cat([*means, x.tanh()])))


def test_waves() -> None:
    """Mean squared error falls from that of a blind guess to a tenth, and the errors are as large as announced."""
    torch.manual_seed(0)
    learner = CNP(MLP(2, 16, hidden=(32, 32)), MLP(17, 2, hidden=(32, 32)), features=16)
    outer = Descent(learner, final(gaussian_nll), optimizer=lambda p: torch.optim.Adam(p, lr=0.01))
    for _ in train(outer, Waves(), iterations=200, meta_batch=20):
        pass
    episodes = collect(learner, Waves().sample(200, np.random.default_rng(1)))
    with torch.no_grad():
        error, std = learner(
            episodes,
            lambda predicts, e: (
                (predicts[-1](e.query.x)[0] - e.query.y).square().mean(), predicts[-1](e.query.x)[1].exp().mean()
            ),
        )  # fmt: skip
    assert error.mean() < 0.1 * Waves.blind
    assert 0.1 < std.mean() < 0.3


def test_least_std_is_checked() -> None:
    with pytest.raises(ValueError, match=r"least_std is 0"):
        process(least_std=0)
