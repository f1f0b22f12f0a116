"""What all learners that read a support have in common: derivatives, symmetries, the start, and a toy they solve."""

from __future__ import annotations

from functools import partial

import byhand
import numpy as np
import pytest
import torch
from byhand import flat, relative_error, slope_along
from few_shot import HEADS, WAYS, Clouds, cloud_episodes, learner_of, loss_of
from torch import Tensor
from torch.func import functional_call, grad, jvp

from metarl.algorithms.descent import Descent
from metarl.core import Episodes, meta_gradient
from metarl.evaluation import evaluate
from metarl.learners.metric import ProtoNet
from metarl.learners.support import SupportLearner
from metarl.losses import Samples
from metarl.objectives import final
from metarl.train import train

EACH = pytest.mark.parametrize("name", HEADS)
SHORT = {"graph": 60, "svm": 60}


def looped(name: str, learner: SupportLearner, episodes: Episodes) -> Tensor:
    """The mean loss by a plain loop over tasks, without vmap."""
    terms = []
    for t in range(3):
        episode = byhand.task(episodes, t)
        state = learner.states(episode.support)[-1]
        terms.append(loss_of(name)(partial(learner.predict, state), episode.query))
    return torch.stack(terms).mean()


@EACH
def test_meta_gradient_is_that_of_a_loop_and_of_finite_differences(name: str) -> None:
    learner, episodes, objective = learner_of(name).double(), cloud_episodes(), final(loss_of(name))
    parameters = list(learner.parameters())
    value, found = meta_gradient(learner, episodes, objective)
    loss = looped(name, learner, episodes)
    assert value == pytest.approx(float(loss.detach()), rel=1e-9)
    by_loop = torch.autograd.grad(loss, parameters, materialize_grads=True, allow_unused=True)
    assert relative_error(flat(found), flat(by_loop)) < 1e-8
    direction = [torch.randn_like(p) for p in parameters]
    slope = slope_along(lambda: float(looped(name, learner, episodes)), parameters, direction, h=1e-7)
    assert float(flat(found) @ flat(direction)) == pytest.approx(slope, rel=1e-5)


@EACH
def test_second_derivatives_through_vmap_are_those_of_a_loop(name: str) -> None:
    learner, episodes, objective = learner_of(name).double(), cloud_episodes(), final(loss_of(name))
    parameters = {key: p.detach() for key, p in learner.named_parameters()}
    direction = {key: torch.randn_like(p) for key, p in parameters.items()}

    def gradient(p: dict[str, Tensor]) -> dict[str, Tensor]:
        return grad(lambda q: functional_call(learner, q, (episodes, objective)).mean())(p)

    found = flat(list(jvp(gradient, (parameters,), (direction,))[1].values()))
    known = list(learner.parameters())
    slopes = torch.autograd.grad(looped(name, learner, episodes), known, create_graph=True, materialize_grads=True)
    along = torch.stack([(s * d).sum() for s, d in zip(slopes, direction.values(), strict=True)]).sum()
    assert relative_error(found, flat(torch.autograd.grad(along, known, materialize_grads=True))) < 1e-8


@EACH
def test_classes_have_equal_logits_before_a_support_and_a_further_step_starts_anew(name: str) -> None:
    learner, episode = learner_of(name).double(), byhand.task(cloud_episodes(), 0)
    other = byhand.task(cloud_episodes(seed=1), 0).support[0]
    torch.testing.assert_close(learner.predict(learner.init(), episode.query.x), torch.zeros(12, WAYS).double())
    states = learner.states((other, episode.support[0]))
    once = learner.states(episode.support)
    assert len(once) == 2
    assert not learner.gradient_steps
    first, last, only = (learner.predict(state, episode.query.x) for state in (states[1], states[2], once[1]))
    torch.testing.assert_close(last, only)
    assert not torch.allclose(first, last)


@EACH
def test_one_query_does_not_see_another_and_the_order_of_classes_and_images_is_none(name: str) -> None:
    learner, episode = learner_of(name).double(), byhand.task(cloud_episodes(), 0)
    (x, y), query = episode.support[0], episode.query.x
    logits = learner.predict(learner.step((), Samples(x, y), 0), query)
    state = learner.step((), Samples(x, y), 0)
    torch.testing.assert_close(learner.predict(state, query[4:6]), logits[4:6])
    if name != "graph":  # there, as in the paper, labels are features
        renamed = learner.predict(learner.step((), Samples(x, (y + 1) % WAYS), 0), query)
        torch.testing.assert_close(renamed.roll(-1, 1), logits, rtol=1e-6, atol=1e-6)
    reordered = learner.predict(learner.step((), Samples(x.flip(0), y.flip(0)), 0), query)
    if name == "full context":
        assert not torch.allclose(reordered, logits)
    else:
        torch.testing.assert_close(reordered, logits, rtol=1e-6, atol=1e-6)


@EACH
def test_clouds(name: str) -> None:
    """After training, at least 0.85 of the queries are right; before, less than 0.6, and a third before the support."""
    learner = learner_of(name)

    def accuracy() -> np.ndarray:
        rng = np.random.default_rng(1)
        return evaluate(learner, Clouds(), steps=1, num_tasks=200, rng=rng).mean(1)

    before = accuracy()
    outer = Descent(learner, final(loss_of(name)), optimizer=lambda p: torch.optim.Adam(p, lr=0.01))
    for _ in train(outer, Clouds(), iterations=SHORT.get(name, 150), meta_batch=20):
        pass
    blind, after = accuracy()
    assert before[1] < 0.6
    assert blind == pytest.approx(1 / WAYS, abs=0.01)
    assert after > 0.85


def test_a_task_has_two_classes_or_more() -> None:
    with pytest.raises(ValueError, match="ways is 1"):
        ProtoNet(torch.nn.Identity(), ways=1)
