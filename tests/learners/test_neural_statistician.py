"""The neural statistician against torch.distributions, loops over classes and images, and a likelihood on a grid."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import byhand
import numpy as np
import pytest
import torch
from byhand import flat, relative_error
from few_shot import FEATURES, INPUTS, WAYS, cloud_episodes
from torch import Tensor, nn
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

from metarl.algorithms.descent import Descent
from metarl.algorithms.variational import Noisy, VariationalDescent
from metarl.core import Episodes, meta_gradient
from metarl.learners.metric import ProtoNet
from metarl.learners.neural_statistician import NeuralStatistician
from metarl.losses import Samples
from metarl.nets.mlp import MLP
from metarl.objectives import final


def statistician(*, context: int = 4, latent: int = 3, inputs: int = INPUTS) -> NeuralStatistician:
    torch.manual_seed(0)
    encoder = MLP(inputs, FEATURES, hidden=(10,), activation="tanh")
    decoder = MLP(context + latent, inputs, hidden=(7,))
    return NeuralStatistician(
        encoder, decoder, ways=WAYS, features=FEATURES, context=context, latent=latent, hidden=(8,)
    )  # fmt: skip


def in_unit_interval(episodes: Episodes) -> Episodes:
    (x, y), query = episodes.support[0], episodes.query
    return Episodes((Samples(x.sigmoid(), y),), Samples(query.x.sigmoid(), query.y))


def normal(outputs: Tensor) -> Independent:
    mean, log_var = outputs.chunk(2, dim=-1)
    return Independent(Normal(mean, (0.5 * log_var).exp()), 1)


def contexts(learner: NeuralStatistician, support: Samples) -> list[Independent]:
    return [
        normal(learner.statistic(torch.stack([learner.encoder(x) for x in support.x[support.y == k]]).mean(0)))
        for k in range(WAYS)
    ]


def test_a_query_is_assigned_by_the_divergence_of_the_posteriors() -> None:
    learner, episode = statistician().double(), byhand.task(in_unit_interval(cloud_episodes()), 0)
    logits = learner.predict(learner.states(episode.support)[1], episode.query.x)
    classes = contexts(learner, episode.support[0])
    for i, x in enumerate(episode.query.x):
        own = normal(learner.statistic(learner.encoder(x)))
        torch.testing.assert_close(logits[i], torch.stack([-kl_divergence(c, own) for c in classes]))


def noisy(query: Samples, learner: NeuralStatistician) -> Noisy:
    return Noisy(*query, torch.randn(*query.y.shape, learner.noise, dtype=query.x.dtype))


def bound_by_hand(learner: NeuralStatistician, support: Samples, batch: Noisy) -> Tensor:
    """Minus the bound by loops over classes and images, the noise of a class made of that of its images."""
    total = torch.zeros(()).double()
    for k, posterior in enumerate(contexts(learner, support)):
        members = (batch.y == k).nonzero().flatten()
        noise = batch.noise[members, : learner.context].sum(0) / math.sqrt(len(members))
        c = posterior.base_dist.loc + posterior.base_dist.scale * noise
        total = total + kl_divergence(posterior, normal(torch.zeros(2 * learner.context).double()))
        for i in members:
            q = normal(learner.posterior(torch.cat([learner.encoder(batch.x[i]), c])))
            z = q.base_dist.loc + q.base_dist.scale * batch.noise[i, learner.context :]
            pixels = Bernoulli(logits=learner.decoder(torch.cat([c, z])), validate_args=False)
            total = total - pixels.log_prob(batch.x[i]).sum() + kl_divergence(q, normal(learner.prior(c)))
    return total / len(batch.y)


def test_loss_and_meta_gradient_are_those_of_loops() -> None:
    learner, episodes = statistician().double(), in_unit_interval(cloud_episodes())
    episodes = episodes._replace(query=noisy(episodes.query, learner))
    parts = [byhand.task(episodes, t) for t in range(3)]
    by_hand = torch.stack([bound_by_hand(learner, part.support[0], part.query) for part in parts]).mean()
    value, found = meta_gradient(learner, episodes, final(learner.loss), chunk=2)
    assert value == pytest.approx(float(by_hand.detach()), rel=1e-9)
    truth = torch.autograd.grad(by_hand, list(learner.parameters()))
    assert relative_error(flat(found), flat(truth)) < 1e-8


def test_the_bound_is_below_the_likelihood() -> None:
    """With one c, z and pixel each, the likelihood of a class of one image is an integral over a grid."""
    learner = statistician(context=1, latent=1, inputs=1).double()
    support = Samples(torch.tensor([[0.0], [1.0], [1.0]]).double(), torch.arange(3))
    state = learner.step((), support, 0)
    draws = 20_000
    batches = Noisy(
        support.x.expand(draws, 3, 1), support.y.expand(draws, 3), torch.randn(draws, 3, 2, dtype=torch.float64)
    )
    bound = float(torch.func.vmap(partial(learner.predict, state))(batches).mean().detach())
    grid = torch.linspace(-9, 9, 1501, dtype=torch.float64)
    c, z = torch.meshgrid(grid, grid, indexing="ij")
    cell = float(grid[1] - grid[0]) ** 2
    mean, log_var = learner.prior(grid[:, None]).chunk(2, dim=1)
    density = Normal(0.0, 1.0).log_prob(c) + Normal(mean, (0.5 * log_var).exp()).log_prob(z)
    pixel = Bernoulli(logits=learner.decoder(torch.stack([c, z], -1).flatten(0, 1)).view_as(c))
    likelihood = sum(
        float(((density + pixel.log_prob(x)).exp().sum() * cell).log().detach()) for x in support.x.flatten()
    )
    assert likelihood / 3 - 1.0 < bound < likelihood / 3


def test_noise_is_drawn_in_advance() -> None:
    """An update depends on torch's seed, and on nothing else: not on the parts in which it is computed."""
    changes = []
    for seed, chunk in ((0, None), (0, 1), (1, None)):
        learner, episodes = statistician().double(), in_unit_interval(cloud_episodes())
        torch.manual_seed(seed)
        VariationalDescent(learner, optimizer=lambda p: torch.optim.SGD(p, lr=0.1), chunk=chunk).update(episodes)
        changes.append(flat(list(learner.parameters())))
    torch.testing.assert_close(changes[1], changes[0])
    assert not torch.allclose(changes[2], changes[0])


def pictures(rng: np.random.Generator) -> Episodes:
    """16 tasks of three classes: each a place on a ring of 8 pixels where 4 are bright, and 1 in 10 is then flipped."""
    patterns = np.stack([np.roll([1, 1, 1, 1, 0, 0, 0, 0], k) for k in range(INPUTS)]).astype(bool)
    chosen = rng.permuted(np.tile(np.arange(INPUTS), (16, 1)), axis=1)[:, :WAYS]

    def batch(each: int) -> Samples:
        y = np.tile(np.arange(WAYS * each) % WAYS, (16, 1))
        x = patterns[np.take_along_axis(chosen, y, 1)] ^ (rng.random((16, WAYS * each, INPUTS)) < 0.1)
        return Samples(torch.from_numpy(x.astype(np.float32)), torch.from_numpy(y))

    return Episodes((batch(1),), batch(5))


def test_classes_are_told_apart_by_a_model_that_was_never_told_to() -> None:
    """The bound alone teaches it: at least 0.83 of the queries are right, where at first less than 0.75 are."""
    learner, rng = statistician(), np.random.default_rng(0)

    def accuracy() -> float:
        rng = np.random.default_rng(1)
        episodes = [pictures(rng) for _ in range(10)]
        return np.mean([float(learner(episode, right).mean()) for episode in episodes])

    def right(predicts: Any, episode: Episodes) -> Tensor:
        return (predicts[-1](episode.query.x).argmax(1) == episode.query.y).float().mean()

    before = accuracy()
    outer = VariationalDescent(learner, lr=0.01)
    losses = [outer.update(pictures(rng))["loss"] for _ in range(200)]
    assert before < 0.75
    assert np.mean(losses[-20:]) < INPUTS * math.log(2) - 1  # that of a model of 8 fair coins
    assert accuracy() > 0.83


def test_training_without_noise_and_noise_for_others_are_refused() -> None:
    with pytest.raises(ValueError, match="needs noise with each query: train this learner by Variatio"):
        Descent(statistician().double()).update(in_unit_interval(cloud_episodes()))
    with pytest.raises(ValueError, match="ProtoNet has no attribute noise: train it by Descent"):
        VariationalDescent(ProtoNet(nn.Linear(INPUTS, 2), ways=WAYS)).update(cloud_episodes())
