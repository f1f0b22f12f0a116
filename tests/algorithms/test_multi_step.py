"""The multi-step loss: equal weights that become the last step's alone, and go on where a checkpoint left them."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from byhand import flat
from toys import regressor, sample_episodes

from metarl.algorithms.descent import Descent
from metarl.algorithms.multi_step import MultiStep
from metarl.losses import mse
from metarl.objectives import final, multi_step

ADAM = partial(torch.optim.Adam, lr=0.01)
WEIGHTS = ((1 / 3, 1 / 3, 1 / 3), (1 / 6, 1 / 6, 2 / 3), (0, 0, 1), (0, 0, 1))


def test_weights_go_from_equal_to_the_last_and_the_updates_are_descents() -> None:
    learner, twin, episodes = (*(regressor(steps=3, lr=0.2) for _ in range(2)), sample_episodes(steps=3))
    algorithm = MultiStep(learner, mse, iterations=4, annealing=0.5, lr=0.01, lr_end=0.01)
    by_hand = Descent(twin, final(mse), optimizer=ADAM)
    for weights in WEIGHTS:
        assert algorithm.weights() == pytest.approx(list(weights))
        by_hand.objective = multi_step(mse, weights)
        expected, metrics = by_hand.update(episodes), algorithm.update(episodes)
        assert metrics == pytest.approx(expected)
        torch.testing.assert_close(flat(list(learner.parameters())), flat(list(twin.parameters())))


def test_a_resumed_run_goes_on_with_its_weights() -> None:
    def outer() -> MultiStep:
        return MultiStep(regressor(steps=3, lr=0.2), mse, iterations=5, annealing=0.6, lr=0.01)

    whole, first, second, episodes = outer(), outer(), outer(), sample_episodes(steps=3)
    for _ in range(2):
        whole.update(episodes)
        first.update(episodes)
    second.learner.load_state_dict(first.learner.state_dict())
    second.load_state_dict(first.state_dict())
    assert second.weights() == first.weights() == pytest.approx([1 / 9, 1 / 9, 7 / 9])
    assert whole.update(episodes) == second.update(episodes)
    assert torch.equal(flat(list(whole.learner.parameters())), flat(list(second.learner.parameters())))


def test_the_learning_rate_follows_a_cosine() -> None:
    outer, episodes = MultiStep(regressor(), iterations=4, lr=0.01, lr_end=0.002), sample_episodes(steps=1)
    lrs = []
    for _ in range(5):
        lrs.append(outer.optimizer.param_groups[0]["lr"])
        outer.update(episodes)
    cosine = [0.002 + 0.004 * (1 + math.cos(math.pi * i / 4)) for i in range(5)]
    assert lrs == pytest.approx(cosine)
