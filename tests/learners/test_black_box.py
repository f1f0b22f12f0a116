"""What learners that read the support as a whole with a network have in common: derivatives, the start, toys."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import byhand
import numpy as np
import pytest
import torch
from byhand import flat, relative_error, slope_along
from few_shot import FEATURES, INPUTS, WAYS, Clouds, cloud_episodes
from torch import Tensor
from torch.func import functional_call, grad, jvp

from metarl.algorithms.descent import Descent
from metarl.core import Episodes, meta_gradient
from metarl.evaluation import evaluate
from metarl.learners.cnp import CNPClassifier
from metarl.learners.lstm import LSTMClassifier
from metarl.learners.mann import MANN
from metarl.learners.meta_networks import MetaNet
from metarl.learners.snail import SNAIL
from metarl.learners.support import SupportLearner
from metarl.losses import Samples, cross_entropy
from metarl.nets.mlp import MLP
from metarl.objectives import final
from metarl.train import train

KIND = {"ways": WAYS, "features": FEATURES}
LEARNERS: dict[str, Callable[[MLP], SupportLearner]] = {
    "cnp": lambda net: CNPClassifier(net, hidden=(32,), **KIND),
    "snail": lambda net: SNAIL(net, shots=2, filters=8, attention=((8, 8), (8, 8)), **KIND),
    "lstm": lambda net: LSTMClassifier(net, hidden=12, **KIND),
    "mann": lambda net: MANN(net, controller=12, slots=5, width=4, heads=2, **KIND),
    "meta networks": lambda net: MetaNet(net, hidden=12, rule=8, **KIND),
}
EACH = pytest.mark.parametrize("name", LEARNERS)


def learner_of(name: str) -> SupportLearner:
    torch.manual_seed(0)
    return LEARNERS[name](MLP(INPUTS, FEATURES, hidden=(10,), activation="tanh"))


def looped(learner: SupportLearner, episodes: Episodes) -> Tensor:
    """The mean loss by a plain loop over tasks, without vmap over them."""
    terms = []
    for t in range(3):
        episode = byhand.task(episodes, t)
        state = learner.states(episode.support)[-1]
        terms.append(cross_entropy(partial(learner.predict, state), episode.query))
    return torch.stack(terms).mean()


@EACH
def test_meta_gradient_is_that_of_a_loop_and_of_finite_differences(name: str) -> None:
    learner, episodes = learner_of(name).double(), cloud_episodes()
    parameters = list(learner.parameters())
    value, found = meta_gradient(learner, episodes, final(cross_entropy))
    loss = looped(learner, episodes)
    assert value == pytest.approx(float(loss.detach()), rel=1e-9)
    by_loop = torch.autograd.grad(loss, parameters)  # every parameter has a part in the loss
    assert relative_error(flat(found), flat(by_loop)) < 1e-8
    assert all(gradient.abs().max() > 0 for gradient in found)
    direction = [torch.randn_like(p) for p in parameters]
    slope = slope_along(lambda: float(looped(learner, episodes)), parameters, direction, h=1e-7)
    assert float(flat(found) @ flat(direction)) == pytest.approx(slope, rel=1e-5)


@EACH
def test_second_derivatives_through_vmap_are_those_of_a_loop(name: str) -> None:
    learner, episodes = learner_of(name).double(), cloud_episodes()
    parameters = {key: p.detach() for key, p in learner.named_parameters()}
    direction = {key: torch.randn_like(p) for key, p in parameters.items()}

    def gradient(p: dict[str, Tensor]) -> dict[str, Tensor]:
        return grad(lambda q: functional_call(learner, q, (episodes, final(cross_entropy))).mean())(p)

    found = flat(list(jvp(gradient, (parameters,), (direction,))[1].values()))
    known = list(learner.parameters())
    slopes = torch.autograd.grad(looped(learner, episodes), known, create_graph=True)
    along = torch.stack([(s * d).sum() for s, d in zip(slopes, direction.values(), strict=True)]).sum()
    assert relative_error(found, flat(torch.autograd.grad(along, known, materialize_grads=True))) < 1e-8


@EACH
def test_start_further_steps_and_queries_apart(name: str) -> None:
    learner, episode = learner_of(name).double(), byhand.task(cloud_episodes(), 0)
    (x, y), query = episode.support[0], episode.query.x
    other = byhand.task(cloud_episodes(seed=1), 0).support[0]
    torch.testing.assert_close(learner.predict(learner.init(), query), torch.zeros(12, WAYS).double())
    assert (learner.steps, learner.gradient_steps) == (1, False)
    first, last = (learner.predict(state, query) for state in learner.states((other, Samples(x, y)))[1:])
    logits = learner.predict(learner.states(episode.support)[1], query)
    torch.testing.assert_close(last, logits)
    assert not torch.allclose(first, last)
    torch.testing.assert_close(learner.predict(learner.step((), Samples(x, y), 0), query[4:6]), logits[4:6])
    relabelled = learner.predict(learner.step((), Samples(x, (y + 1) % WAYS), 0), query)
    assert not torch.allclose(relabelled, logits)
    reordered = learner.predict(learner.step((), Samples(x.flip(0), y.flip(0)), 0), query)
    assert torch.allclose(reordered, logits) == (name == "cnp")  # the others read a sequence


@pytest.mark.parametrize(("name", "iterations"), [("cnp", 100), ("snail", 150), ("meta networks", 50)])
def test_clouds(name: str, iterations: int) -> None:
    """After training, at least 0.8 of the queries are right; before, less than 0.5, and a third before the support."""
    learner = learner_of(name)

    def accuracy() -> np.ndarray:
        return evaluate(learner, Clouds(), steps=1, num_tasks=200, rng=np.random.default_rng(1)).mean(1)

    before = accuracy()
    outer = Descent(learner, final(cross_entropy), optimizer=lambda p: torch.optim.Adam(p, lr=0.01))
    for _ in train(outer, Clouds(), iterations=iterations, meta_batch=16):
        pass
    blind, after = accuracy()
    assert before[1] < 0.5
    assert blind == pytest.approx(1 / WAYS, abs=0.01)
    assert after > 0.8
