"""Policies of one's own: layer normalisation, convolutions, a head for the deviation, a distribution of one's own."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box
from torch import Tensor, nn
from torch.utils._pytree import tree_map
from toys import Track

from metarl.algorithms.proximal import ProMP
from metarl.algorithms.trust_region import TRPO
from metarl.core import adapt, collect
from metarl.evaluation import evaluate
from metarl.learners.maml import ANIL, MAML
from metarl.objectives import final
from metarl.rl.distributions import Gaussian
from metarl.rl.losses import surrogate
from metarl.rl.policy import adapt_policy
from metarl.rl.rollout import WorldDistribution
from metarl.train import train


class Normalised(nn.Module):
    """Layer normalisation, and a head of its own for the standard deviation."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Linear(1, 8), nn.LayerNorm(8), nn.Tanh())
        self.mean, self.log_std = nn.Linear(8, 1), nn.Linear(8, 1)

    def forward(self, observations: Tensor) -> Any:
        features = self.features(observations)
        return Gaussian(self.mean(features), self.log_std(features).clamp(-2, 0))


SIZE = 9


class Pictures(Track):
    """`Track` as seen in pictures of 9 × 9, flattened: a bright column where the point is."""

    observation_space = Box(0, 1, (SIZE * SIZE,), np.float64)

    def write(self, out: np.ndarray) -> None:
        column = np.clip(np.rint((self.x + 1) / 2 * (SIZE - 1)), 0, SIZE - 1).astype(int)
        out[:] = 0
        out.reshape(-1, SIZE, SIZE)[np.arange(len(out)), :, column] = 1


class Convolutional(nn.Module):
    """A small convolution over pictures, which come flattened and with any number of axes before that."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 4, 3, stride=2)
        self.head = nn.Linear(4 * 4 * 4, 1)
        self.log_std = nn.Parameter(torch.full((1,), -0.7))

    def forward(self, observations: Tensor) -> Any:
        maps = self.convolution(observations.reshape(-1, 1, SIZE, SIZE)).relu().flatten(1)
        return Gaussian(self.head(maps).reshape(*observations.shape[:-1], 1), self.log_std.clamp(-3, 0))


class Gumbel(NamedTuple):
    """A distribution that metarl does not have: Gumbel's, of scale ½."""

    location: Any

    def log_prob(self, action: Tensor) -> Tensor:
        z = 2 * (action - self.location)
        return (math.log(2) - z - (-z).exp()).sum(-1)

    def kl(self, other: Gumbel) -> Tensor:
        apart = 2 * (other.location - self.location)
        return (apart + (-apart).exp() - 1).sum(-1)

    def entropy(self) -> Tensor:
        return torch.full_like(self.location, 1 + np.euler_gamma - math.log(2)).sum(-1)

    def noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return rng.gumbel(scale=0.5, size=(*shape, self.location.shape[-1])).astype(np.float32)

    def sample(self, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.location + noise, (math.log(2) - 2 * noise - np.exp(-2 * noise)).sum(-1)

    def mode(self) -> Any:
        return self.location


class GumbelPolicy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))

    def forward(self, observations: Tensor) -> Any:
        return Gumbel(self.net(observations))


POLICIES: dict[str, tuple[type[nn.Module], type[Track]]] = {
    "layer normalisation": (Normalised, Track),
    "pictures": (Convolutional, Pictures),
    "gumbel": (GumbelPolicy, Track),
}


def made(name: str, **settings: Any) -> tuple[MAML, WorldDistribution]:
    torch.manual_seed(0)
    net, world = POLICIES[name]
    return MAML(net(), surrogate, **settings), WorldDistribution(world, trajectories=10, threads=2)


@pytest.mark.parametrize("name", POLICIES)
def test_what_was_recorded_is_the_adapted_policys(name: str) -> None:
    learner, distribution = made(name, lr=0.5)
    tasks = distribution.tasks([-1.0, 1.0], np.random.default_rng(0))
    for predict, _ in adapt(learner, tasks, steps=1):
        seen = tasks.trajectories(predict)
        for task in range(2):
            policy = learner.module({key: value[task] for key, value in predict.states.items()})
            expected = policy(seen.observations[task]).log_prob(seen.actions[task])
            torch.testing.assert_close(seen.log_probs[task], expected, rtol=1e-4, atol=1e-4)
    assert seen.observations.shape == (2, 5, 10, distribution.sizes[0])


@pytest.mark.parametrize("name", POLICIES)
def test_meta_gradients_are_those_of_finite_differences(name: str) -> None:
    learner, distribution = made(name, lr=0.5)
    episodes = collect(learner, distribution.sample(3, np.random.default_rng(0)))
    episodes = tree_map(lambda leaf: leaf.double(), episodes)
    parameters = list(learner.double().parameters())
    values, direction = [p.detach().clone() for p in parameters], [torch.randn_like(p) for p in parameters]

    def loss(step: float) -> Tensor:
        for parameter, value, way in zip(parameters, values, direction, strict=True):
            parameter.data.copy_(value + step * way)
        return learner(episodes, final(surrogate)).mean()

    gradients = torch.autograd.grad(loss(0.0), parameters)
    along = sum(float((gradient * way).sum()) for gradient, way in zip(gradients, direction, strict=True))
    differences = float((loss(1e-6) - loss(-1e-6)).detach()) / 2e-6
    assert along == pytest.approx(differences, rel=1e-5)
    assert abs(along) > 1e-2


@pytest.mark.parametrize("name", ["layer normalisation", "pictures"])
def test_adaptation_is_learned(name: str) -> None:
    learner, distribution = made(name, lr=0.3)
    algorithm = ProMP(learner, optimizer=lambda p: torch.optim.Adam(p, lr=0.02))
    metrics = list(train(algorithm, distribution, iterations=20, meta_batch=10))
    assert all(np.isfinite(list(row.values())).all() for row in metrics)
    before, after = evaluate(learner, distribution, steps=1, num_tasks=40, rng=np.random.default_rng(5)).mean(1)
    assert after > before + 1


@pytest.mark.parametrize("name", POLICIES)
def test_a_trust_region_keeps_its_bound(name: str) -> None:
    learner, distribution = made(name, lr=0.3)
    for row in train(TRPO(learner, max_kl=0.02), distribution, iterations=3, meta_batch=10):
        assert 0 < row["kl"] <= 0.02
        assert row["improvement"] > 0


def test_the_head_alone_can_be_adapted_and_the_policy_taken_away() -> None:
    torch.manual_seed(0)
    learner = ANIL(Convolutional(), surrogate, lr=0.5)
    assert learner.names == ["head.weight", "head.bias"]
    distribution = WorldDistribution(Pictures, trajectories=10, threads=1)
    policy = adapt_policy(learner, distribution, 1.0)
    seen = np.random.default_rng(0).uniform(0, 1, (6, SIZE * SIZE)).astype(np.float32)
    expected = policy.predict(seen, deterministic=True)[0]
    with torch.no_grad():
        np.testing.assert_allclose(policy.module()(torch.from_numpy(seen)), expected, rtol=0, atol=1e-6)
        assert np.abs(learner.net(torch.from_numpy(seen)).mean - expected).max() > 1e-3


LAYERS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "running statistics": (lambda: nn.BatchNorm1d(8), "BatchNorm1d keeps running statistics.*in a policy nn.LayerNorm"),
    "dropout": (nn.Dropout, "Dropout draws a new mask whenever.*leave it out, or put it in eval mode"),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_that_no_task_can_have_for_itself_is_refused(name: str) -> None:
    layer, message = LAYERS[name]
    with pytest.raises(ValueError, match=message):
        MAML(nn.Sequential(nn.Linear(1, 8), layer()), surrogate)
