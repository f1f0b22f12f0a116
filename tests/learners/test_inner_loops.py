"""What the inner loops of MAML's kin have in common: derivatives, parts on threads, and a toy they solve."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import byhand
import numpy as np
import pytest
import torch
from byhand import finite_differences, flat, relative_error
from toys import Waves, sample_episodes

from metarl.algorithms.alpha import AlphaLearner, AlphaMAML
from metarl.algorithms.base import Algorithm
from metarl.algorithms.descent import Descent
from metarl.algorithms.multi_step import MultiStep
from metarl.core import Episodes, Learner, adapt, collect, meta_gradient
from metarl.evaluation import evaluate
from metarl.learners.context import CAVIA, Concatenated
from metarl.learners.implicit import IMAML
from metarl.learners.per_step import MAMLPlusPlus
from metarl.losses import mse
from metarl.nets.mlp import MLP
from metarl.objectives import final, multi_step
from metarl.train import train

Make = Callable[[int, int], Learner]  # of hidden units and steps
ADAM = partial(torch.optim.Adam, lr=0.02)


def net(hidden: int, *, inputs: int = 1) -> MLP:
    return MLP(inputs, 1, hidden=(hidden,), activation="tanh")


LEARNERS: dict[str, Make] = {
    "implicit": lambda hidden, steps: IMAML(net(hidden), mse, steps=steps, lr=0.15, strength=0.3, cg_steps=3),
    "context": lambda hidden, steps: CAVIA(Concatenated(net(hidden, inputs=4)), mse, context=3, steps=steps, lr=0.4),
    "per step": lambda hidden, steps: MAMLPlusPlus(net(hidden), mse, steps=steps, lr=0.1),
    "alpha": lambda hidden, steps: AlphaLearner(net(hidden), mse, steps=steps, lr=0.05),
}
OUTER: dict[str, Callable[[Any], Algorithm]] = {
    "implicit": lambda learner: Descent(learner, final(mse), optimizer=ADAM),
    "context": lambda learner: Descent(learner, final(mse), optimizer=ADAM),
    "per step": lambda learner: MultiStep(learner, mse, iterations=400, annealing=0.125, lr=0.02, lr_end=0.02),
    "alpha": lambda learner: AlphaMAML(learner, final(mse), lr=0.05, inner_hyper=0.01, outer_hyper=0.01),
}
EACH = pytest.mark.parametrize("name", LEARNERS)


def learner_of(name: str, *, hidden: int = 4, steps: int = 2) -> Learner:
    torch.manual_seed(0)
    return LEARNERS[name](hidden, steps)


def repeated(*, tasks: int, steps: int) -> Episodes:
    """The same support at each step."""
    episodes = sample_episodes(tasks=tasks)
    return episodes._replace(support=episodes.support * steps)


@pytest.fixture
def threads() -> Iterator[None]:
    """Puts the number of torch's threads back."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", ["context", "per step", "alpha"])
def test_meta_gradient_is_the_slope_of_the_objective(name: str) -> None:
    learner, episodes = learner_of(name, steps=3).double(), repeated(tasks=2, steps=3)
    objective = multi_step(mse, (0.2, 0.5, 0.3))
    with torch.no_grad():
        for parameter in learner.parameters():
            parameter.add_(0.1 * torch.rand_like(parameter))
    parameters = list(learner.parameters())
    value, found = meta_gradient(learner, episodes, objective)

    def mean() -> float:
        with torch.no_grad():
            return float(learner(episodes, objective).mean())

    assert value == pytest.approx(mean(), rel=1e-12)
    assert relative_error(flat(found), finite_differences(mean, parameters)) < 1e-6


@EACH
def test_parts_and_threads_do_not_change_the_meta_gradient(threads: None, name: str) -> None:
    learner, episodes = learner_of(name).double(), repeated(tasks=5, steps=2)
    value, whole = meta_gradient(learner, episodes, final(mse))
    found = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        loss, gradients = meta_gradient(learner, episodes, final(mse), chunk=2)
        found.append(flat(gradients))
        assert loss == pytest.approx(value, rel=1e-12)
    assert torch.equal(found[1], found[0])
    assert torch.equal(found[2], found[0])
    assert relative_error(found[0], flat(whole)) < 1e-12


@EACH
def test_adaptation_without_a_graph_predicts_what_training_judges(name: str) -> None:
    learner, episodes = learner_of(name), collect(learner_of(name), Waves().sample(4, np.random.default_rng(0)))
    judged = learner(episodes, final(mse)).detach()
    for chunk in (None, 3):
        *_, (last, _) = adapt(learner, Waves().sample(4, np.random.default_rng(0)), steps=2, chunk=chunk)
        with torch.no_grad():
            errors = (last(episodes.query.x) - episodes.query.y).square().mean((1, 2))
        torch.testing.assert_close(errors, judged)


@EACH
def test_waves(name: str) -> None:
    """After training, adaptation leaves less than 0.45 of the error that any prediction without it has."""
    steps = 4 if name == "implicit" else 2
    learner = learner_of(name, hidden=20, steps=steps)

    def error() -> float:
        return float(evaluate(learner, Waves(), steps=steps, num_tasks=200, rng=np.random.default_rng(1))[-1].mean())

    before = error()
    for _ in train(OUTER[name](learner), Waves(), iterations=50 if name == "implicit" else 120, meta_batch=10):
        pass
    assert before > 0.45 * Waves.blind
    assert error() < min(0.45 * Waves.blind, 0.75 * before)


@EACH
def test_a_loop_over_tasks_is_the_same(name: str) -> None:
    learner, episodes = learner_of(name).double(), repeated(tasks=3, steps=2)
    terms = []
    for t in range(3):
        episode = byhand.task(episodes, t)
        state = learner.states(episode.support)[-1]
        terms.append(mse(partial(learner.predict, state), episode.query))
    by_loop = torch.autograd.grad(torch.stack(terms).mean(), list(learner.parameters()), materialize_grads=True)
    assert relative_error(flat(meta_gradient(learner, episodes, final(mse))[1]), flat(by_loop)) < 1e-10
