"""Descent: one optimiser step along the meta-gradient, and the refusals all outer loops share."""

from collections.abc import Callable
from functools import partial
from typing import Any

import byhand
import pytest
import torch
from byhand import flat
from toys import regressor, sample_episodes

from metarl.algorithms.base import Algorithm
from metarl.algorithms.descent import Descent
from metarl.algorithms.multi_step import MultiStep
from metarl.algorithms.proximal import ProMP
from metarl.algorithms.reptile import Reptile
from metarl.algorithms.trust_region import TRPO
from metarl.core import Learner
from metarl.losses import mse, squared_change
from metarl.objectives import final, multi_step

ADAM = partial(torch.optim.Adam, lr=0.01)
EVERY: dict[str, Callable[..., Algorithm]] = {
    "descent": lambda learner, **k: Descent(learner, final(mse), optimizer=ADAM, **k),
    "reptile": lambda learner, **k: Reptile(learner, lr_end=0.0, iterations=10, **k),
    "trust region": lambda learner, **k: TRPO(learner, mse, squared_change, damping=0.1, **k),
    "proximal": lambda learner, **k: ProMP(learner, final(mse), squared_change, optimizer=ADAM, **k),
}


FIXED: dict[str, Callable[..., Descent]] = {
    "descent": lambda learner, **k: Descent(learner, final(mse), optimizer=ADAM, **k),
    "multi-step": lambda learner, **k: MultiStep(learner, mse, iterations=4, annealing=0.5, lr=0.01, lr_end=0.01, **k),
    "proximal": lambda learner, **k: ProMP(learner, final(mse), squared_change, optimizer=ADAM, **k),
}


def weights(learner: Learner) -> torch.Tensor:
    return flat(list(learner.parameters()))


def test_update_is_the_optimisers_on_the_unrolled_gradient() -> None:
    learner, twin, episodes = regressor(steps=2, lr=0.2), regressor(steps=2, lr=0.2), sample_episodes(steps=2)
    algorithm = Descent(learner, final(mse), optimizer=ADAM)
    params = dict(twin.net.named_parameters())
    optimizer = torch.optim.Adam(twin.parameters(), lr=0.01)
    for _ in range(3):
        metrics = algorithm.update(episodes)
        optimizer.zero_grad()
        terms = []
        for t in range(4):
            episode = byhand.task(episodes, t)
            last = byhand.adapted(params, episode.support, byhand.squared_error, lr=0.2)[-1]
            terms.append(byhand.squared_error(last, episode.query))
        loss = torch.stack(terms).mean()
        loss.backward()
        assert metrics["loss"] == pytest.approx(float(loss.detach()), rel=1e-12)
        norm = torch.cat([p.grad.flatten() for p in twin.parameters() if p.grad is not None]).norm()
        assert metrics["gradient_norm"] == pytest.approx(float(norm), rel=1e-12)
        optimizer.step()
        torch.testing.assert_close(weights(learner), weights(twin), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", EVERY)
def test_every_algorithms_update_is_the_same_for_every_chunk(name: str) -> None:
    results = []
    for chunk in (None, 1, 3):
        learner = regressor(steps=2, lr=0.2)
        before = weights(learner)
        EVERY[name](learner, chunk=chunk).update(sample_episodes(steps=2))
        results.append(weights(learner) - before)
    assert results[0].norm() > 1e-3
    for result in results[1:]:
        torch.testing.assert_close(result, results[0], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", EVERY)
def test_every_algorithm_refuses_a_bad_chunk_and_a_nan(name: str) -> None:
    with pytest.raises(ValueError, match="chunk is 0"):
        EVERY[name](regressor(), chunk=0)
    learner, episodes = regressor(lr=0.2), sample_episodes()
    before = weights(learner)
    for batch in (*episodes.support, episodes.query):
        batch.y[1, 2] = torch.nan
    with pytest.raises(FloatingPointError, match="this step was not taken"):
        EVERY[name](learner).update(episodes)
    assert torch.equal(weights(learner), before)


@pytest.mark.parametrize("name", EVERY)
def test_every_algorithms_state_survives_a_round_trip(name: str) -> None:
    """Two updates in one go, or one, a copy of all state into new objects, and another: the same bits."""
    whole, first, second = (regressor(steps=2, lr=0.2, seed=s) for s in (0, 0, 1))
    algorithm = EVERY[name](whole)
    for seed in (0, 1):
        algorithm.update(sample_episodes(steps=2, seed=seed))
    half, other = EVERY[name](first), EVERY[name](second)
    half.update(sample_episodes(steps=2, seed=0))
    second.load_state_dict(first.state_dict())
    other.load_state_dict(half.state_dict())
    other.update(sample_episodes(steps=2, seed=1))
    assert torch.equal(weights(second), weights(whole))
    assert not torch.equal(weights(second), weights(first))


@pytest.mark.parametrize("name", FIXED)
def test_fixed_parameters_stay_and_the_first_step_of_the_others_is_as_ever(name: str) -> None:
    learner, twin, episodes = regressor(steps=2, lr=0.2), regressor(steps=2, lr=0.2), sample_episodes(steps=2)
    before = {key: value.detach().clone() for key, value in learner.named_parameters()}
    epochs = {"epochs": 1} if name == "proximal" else {}
    FIXED[name](learner, freeze="net.layers.0", **epochs).update(episodes)
    FIXED[name](twin, **epochs).update(episodes)
    after, free = dict(learner.named_parameters()), dict(twin.named_parameters())
    for key, value in after.items():
        torch.testing.assert_close(value, before[key] if key.startswith("net.layers.0") else free[key])
    assert all(not torch.equal(free[key], before[key]) for key in free)


@pytest.mark.parametrize("name", FIXED)
def test_fixed_that_matches_nothing_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"'net.haed', but no parameter's name starts with it: .*net.layers.0.weight"):
        FIXED[name](regressor(), freeze="net.haed")


def test_the_learning_rate_goes_to_its_end_and_losses_of_steps_are_weighted() -> None:
    plain, weighted = (regressor(steps=2, lr=0.1) for _ in range(2))
    rates = Descent(plain, lr=0.01, lr_end=0.002, iterations=4)
    by_hand = Descent(weighted, multi_step(mse, (0.25, 0.75)), lr=0.01)
    by_setting = Descent(regressor(steps=2, lr=0.1), lr=0.01, step_weights=(0.25, 0.75))
    episodes, lrs = sample_episodes(steps=2), []
    for _ in range(5):
        lrs.append(rates.optimizer.param_groups[0]["lr"])
        rates.update(episodes)
    assert lrs == pytest.approx([0.01, 0.008, 0.006, 0.004, 0.002])
    assert by_hand.update(episodes) == by_setting.update(episodes)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"lr_end": 0.1}, "give iterations, the number of updates"),
        ({"lr_end": 0.1, "iterations": 3}, "lr_end is 0.1, more than lr, 0.001"),
        ({"lr": 0.1, "optimizer": ADAM}, "lr is 0.1 and an optimizer is given"),
        ({"step_weights": (1.0,)}, "step_weights has 1 entries for 2 inner steps"),
        ({"step_weights": (0.5, 0.5), "objective": final(mse)}, "and an objective is given"),
    ],
)
def test_settings_of_descent_that_do_not_go_together(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Descent(regressor(steps=2), **settings)
