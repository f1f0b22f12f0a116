"""Every algorithm solves a toy: waves that no blind prediction fits, and two goals that only adaptation tells apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from toys import Track, Waves, track_learner

from metarl.algorithms.base import Algorithm
from metarl.algorithms.descent import Descent
from metarl.algorithms.proximal import ProMP
from metarl.algorithms.reptile import Reptile
from metarl.algorithms.trust_region import TRPO
from metarl.core import Learner
from metarl.evaluation import evaluate
from metarl.learners.gradient import GradientLearner
from metarl.losses import mse, squared_change
from metarl.nets.mlp import MLP
from metarl.objectives import final
from metarl.rl.losses import clipped_surrogate, mean_kl, surrogate
from metarl.rl.rollout import WorldDistribution
from metarl.train import train


def adam(lr: float) -> Callable[[Any], torch.optim.Optimizer]:
    return lambda parameters: torch.optim.Adam(parameters, lr=lr)


def descent(learner: Learner) -> Algorithm:
    return Descent(learner, final(mse), optimizer=adam(0.01))


REGRESSION: dict[str, tuple[dict[str, Any], Callable[[Learner], Algorithm]]] = {
    "maml": ({}, descent),
    "fomaml": ({"first_order": True}, descent),
    "meta-sgd": ({"learn_lr": True}, descent),
    "anil": ({"adapt": "layers.1"}, descent),
    "reptile": ({"steps": 5}, lambda learner: Reptile(learner, lr=1.0, lr_end=0.1, iterations=200)),
    "trust region": ({}, lambda learner: TRPO(learner, mse, squared_change, max_kl=0.01, damping=0.01)),
    "proximal": (
        {},
        lambda learner: ProMP(learner, final(mse), squared_change, optimizer=adam(0.01), epochs=3, penalty=0.01),
    ),
}
SHORT = {"trust region": 60, "proximal": 100}
POLICIES: dict[str, tuple[dict[str, Any], Callable[[Learner], Algorithm]]] = {
    "trust region": ({}, lambda learner: TRPO(learner, surrogate, mean_kl, max_kl=0.02)),
    "first-order trust region": (
        {"first_order": True},
        lambda learner: TRPO(learner, surrogate, mean_kl, max_kl=0.02),
    ),
    "proximal": (
        {},
        lambda learner: ProMP(learner, final(clipped_surrogate(0.3)), mean_kl, optimizer=adam(0.02)),
    ),
    "fomaml": ({"first_order": True}, lambda learner: Descent(learner, final(surrogate), optimizer=adam(0.02))),
    "reptile": ({"steps": 3}, lambda learner: Reptile(learner, lr=1.0, lr_end=0.1, iterations=40)),
}


@pytest.mark.parametrize("method", REGRESSION)
def test_waves(method: str) -> None:
    """After training, adaptation leaves less than 0.4 of the error that any prediction without it has."""
    settings, outer = REGRESSION[method]
    torch.manual_seed(0)
    net = MLP(1, 1, hidden=(20,), activation="tanh")
    learner = GradientLearner(net, mse, **{"steps": 2, "lr": 0.1, **settings})

    def error() -> float:
        rng = np.random.default_rng(1)
        return float(evaluate(learner, Waves(), steps=learner.steps, num_tasks=100, rng=rng)[-1].mean())

    before = error()
    for _ in train(outer(learner), Waves(), iterations=SHORT.get(method, 200), meta_batch=10):
        pass
    after = error()
    assert before > 0.4 * Waves.blind  # the untrained network does not do it
    assert after < 0.4 * Waves.blind
    assert after < 0.75 * before


@pytest.mark.parametrize("method", POLICIES)
def test_two_goals(method: str) -> None:
    """Adapted policies go towards their goal: a quarter and more of the way from the first return to the best."""
    settings, outer = POLICIES[method]
    learner = track_learner(**{"steps": 1, "lr": 0.05, **settings})
    distribution = WorldDistribution(Track, trajectories=10, horizon=8, threads=1)

    def returns() -> np.ndarray:
        rng = np.random.default_rng(1)
        return evaluate(learner, distribution, steps=learner.steps, num_tasks=100, rng=rng).mean(1)

    before = returns()
    for _ in train(outer(learner), distribution, iterations=40, meta_batch=10):
        pass
    after = returns()
    assert before[0] == pytest.approx(-8, abs=0.5)  # nobody knows the goal: 8 steps at distance 1
    assert after[0] < -7.5  # nor after training, before adaptation
    best = -(0.8 + 0.6 + 0.4 + 0.2)
    assert after[-1] > before[-1] + 0.25 * (best - before[-1])
    assert after[-1] <= best + 0.1
