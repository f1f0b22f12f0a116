"""Training: repeatable from (seed, iteration), going on equals never stopping, each algorithm on each kind of task."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from byhand import flat
from torch import Tensor
from toys import Track, track_learner

from metarl.algorithms.base import Algorithm
from metarl.algorithms.descent import Descent
from metarl.algorithms.proximal import ProMP
from metarl.algorithms.reptile import Reptile
from metarl.algorithms.trust_region import TRPO
from metarl.core import Distribution, Loss
from metarl.learners.gradient import GradientLearner
from metarl.losses import Samples, mse, squared_change
from metarl.nets.mlp import MLP
from metarl.nets.policy import GaussianPolicy
from metarl.objectives import final
from metarl.rl.losses import clipped_surrogate, mean_kl, surrogate
from metarl.rl.rollout import WorldDistribution
from metarl.tasks.sinusoid import Sinusoid, SinusoidTasks
from metarl.train import Stream, generator, train

CLOCK = ("seconds_sampling", "seconds_update")
ADAM = partial(torch.optim.Adam, lr=0.01)


class Kind(NamedTuple):
    """A kind of task: its distribution, a learner for it, and what outer loops need to know of it."""

    distribution: Callable[[], Distribution]
    learner: Callable[[], GradientLearner]
    loss: Loss
    clipped: Loss
    divergence: Any


def sinusoid_learner() -> GradientLearner:
    torch.manual_seed(0)
    return GradientLearner(MLP(1, 1, hidden=(8,)), mse, lr=0.01, steps=2)


def point_learner() -> GradientLearner:
    torch.manual_seed(0)
    return GradientLearner(GaussianPolicy(2, 2, hidden=(8,)), surrogate, lr=0.1, steps=2)


KINDS = {
    "sinusoid": Kind(Sinusoid, sinusoid_learner, mse, mse, squared_change),
    "point": Kind(
        partial(WorldDistribution, "metarl/PointNav-v0", trajectories=5, horizon=12, threads=1),
        point_learner, surrogate, clipped_surrogate(0.2), mean_kl,
    ),
    "track": Kind(
        partial(WorldDistribution, Track, trajectories=4), partial(track_learner, steps=2), surrogate,
        clipped_surrogate(0.2), mean_kl,
    ),
}  # fmt: skip
ALGORITHMS: dict[str, Callable[[GradientLearner, Kind], Algorithm]] = {
    "descent": lambda learner, kind: Descent(learner, final(kind.loss), optimizer=ADAM),
    "reptile": lambda learner, kind: Reptile(learner, lr_end=0.0, iterations=10),
    "trust region": lambda learner, kind: TRPO(learner, kind.loss, kind.divergence, damping=0.01),
    "proximal": lambda learner, kind: ProMP(learner, final(kind.clipped), kind.divergence, optimizer=ADAM),
}
EVERY = pytest.mark.parametrize("algorithm", ALGORITHMS)
KIND = pytest.mark.parametrize("kind", ["sinusoid", "point"])


def made(algorithm: str, kind: str) -> Algorithm:
    return ALGORITHMS[algorithm](KINDS[kind].learner(), KINDS[kind])


def weights(algorithm: Algorithm) -> Tensor:
    return flat(list(algorithm.learner.parameters()))


def trained(algorithm: Algorithm, kind: str, **settings: Any) -> list[dict[str, float]]:
    """Metrics without the clock, of a new distribution."""
    rows = list(train(algorithm, KINDS[kind].distribution(), meta_batch=4, **settings))
    assert all(row[name] >= 0 for row in rows for name in CLOCK)
    return [{name: value for name, value in row.items() if name not in CLOCK} for row in rows]


@KIND
@EVERY
def test_an_iteration_changes_the_parameters_and_tells_finite_numbers(algorithm: str, kind: str) -> None:
    outer = made(algorithm, kind)
    before = weights(outer)
    (row,) = trained(outer, kind, iterations=1)
    assert not torch.equal(weights(outer), before)
    assert weights(outer).isfinite().all()
    assert all(math.isfinite(value) for value in row.values())
    if kind == "point":
        batches = 2 + outer.uses_query
        assert row["env_steps"] == batches * 4 * 5 * 12
        assert {f"return_{k}" for k in range(batches)} <= set(row)


@KIND
@EVERY
def test_the_seed_decides_everything(algorithm: str, kind: str) -> None:
    runs: list[tuple[list[dict[str, float]], Tensor]] = []
    for seed in (0, 0, 1):
        outer = made(algorithm, kind)
        torch.manual_seed(123 + len(runs))  # what was drawn elsewhere does not matter
        runs.append((trained(outer, kind, iterations=2, seed=seed), weights(outer)))
    (rows, params), (same_rows, same_params), (other_rows, other_params) = runs
    assert rows == same_rows
    assert torch.equal(params, same_params)
    assert rows != other_rows
    assert not torch.equal(params, other_params)


@KIND
@EVERY
def test_going_on_equals_never_stopping(algorithm: str, kind: str) -> None:
    whole = made(algorithm, kind)
    rows = trained(whole, kind, iterations=4, seed=3)
    first, second = made(algorithm, kind), made(algorithm, kind)
    begun = trained(first, kind, iterations=2, seed=3)
    second.learner.load_state_dict(first.learner.state_dict())
    second.load_state_dict(first.state_dict())
    assert begun + trained(second, kind, iterations=4, seed=3, start=2) == rows
    assert torch.equal(weights(second), weights(whole))
    assert not torch.equal(weights(first), weights(whole))


def test_every_iteration_meets_other_tasks() -> None:
    class Still(Algorithm):
        def update(self, episodes: Any) -> dict[str, float]:
            return {"y": float(episodes.query.y.sum())}

    rows = trained(Still(sinusoid_learner()), "sinusoid", iterations=5)
    assert len({row["y"] for row in rows}) == 5


def test_tasks_learn_the_fraction_of_training_that_is_done() -> None:
    fractions = []

    class Recording(Sinusoid):
        def set_progress(self, fraction: float) -> None:
            fractions.append(fraction)

    list(train(made("descent", "sinusoid"), Recording(), iterations=4, meta_batch=2, start=1))
    assert fractions == [0.25, 0.5, 0.75]


def test_torchs_own_random_numbers_follow_the_seed_and_iteration() -> None:
    class Dropping(Algorithm):
        def update(self, episodes: Any) -> dict[str, float]:
            return {"noise": float(torch.rand(()))}

    first, again = (trained(Dropping(sinusoid_learner()), "sinusoid", iterations=3) for _ in range(2))
    assert first == again
    assert trained(Dropping(sinusoid_learner()), "sinusoid", iterations=3, start=2) == first[2:]
    assert len({row["noise"] for row in first}) == 3


def test_reptile_asks_for_no_query() -> None:
    (row,) = trained(made("reptile", "track"), "track", iterations=1)
    assert row["env_steps"] == 2 * 4 * 4 * 5  # two support batches, 4 tasks × 4 trajectories × 5 steps
    assert "return_2" not in row


class Broken(Sinusoid):
    """Sinusoids whose third meta-batch holds a number whose square is infinite."""

    count = 0

    def sample(self, n: int, rng: np.random.Generator) -> SinusoidTasks:
        tasks = super().sample(n, rng)
        self.count += 1
        if self.count == 3:
            batch: Samples
            for batch in (tasks._support, tasks._query):
                batch.y[-1, 0] = 1e30
        return tasks


@EVERY
def test_an_infinite_loss_stops_training_and_leaves_the_parameters(algorithm: str) -> None:
    outer = made(algorithm, "sinusoid")
    kept = []
    updates = train(outer, Broken(), iterations=5, meta_batch=4)
    for _ in range(2):
        next(updates)
        kept.append(weights(outer))
    with pytest.raises(FloatingPointError, match="this step was not taken"):
        next(updates)
    assert torch.equal(weights(outer), kept[1])
    assert not torch.equal(kept[0], kept[1])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"iterations": 0}, "iterations is 0"),
        ({"iterations": -1}, "iterations is -1"),
        ({"meta_batch": 0}, "meta_batch is 0"),
        ({"meta_batch": -3}, "meta_batch is -3"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_negative_counts_are_refused(settings: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        next(train(made("descent", "sinusoid"), Sinusoid(), **{"iterations": 2, "meta_batch": 4, **settings}))


def test_streams_iterations_and_seeds_never_share_numbers() -> None:
    draws = {
        tuple(generator(stream, seed, iteration).integers(2**62, size=2))
        for stream in Stream for seed in range(3) for iteration in range(3)
    }  # fmt: skip
    assert len(draws) == len(Stream) * 9
    first, again = (generator(Stream.TRAIN, 1, 2).random(4) for _ in range(2))
    np.testing.assert_array_equal(first, again)
