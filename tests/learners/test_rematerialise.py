"""Inner steps that are computed again in the backward pass: the same derivatives, with less memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
import torch
from byhand import flat, relative_error
from torch import Tensor
from toys import sample_episodes

from metarl.algorithms.alpha import AlphaLearner
from metarl.core import Episodes, Learner, Objective, Predict, meta_gradient
from metarl.learners.context import CAVIA, Concatenated
from metarl.learners.gradient import GradientLearner
from metarl.learners.learned_optimizer import LearnedOptimizer
from metarl.learners.maml import ANIL, MAML, MetaSGD
from metarl.learners.meta_lstm import MetaLSTM
from metarl.learners.per_step import MAMLPlusPlus
from metarl.losses import mse
from metarl.nets.mlp import MLP
from metarl.objectives import final, multi_step

STEPS = 7


def net(inputs: int = 1) -> MLP:
    return MLP(inputs, 1, hidden=(6,), activation="tanh")


def cavia(**options: Any) -> CAVIA:
    return CAVIA(Concatenated(net(4)), mse, context=3, lr=0.3, **options)


LEARNERS: dict[str, Callable[..., Learner]] = {
    "MAML": lambda **options: MAML(net(), mse, lr=(0.2, 0.1), **options),
    "Meta-SGD": lambda **options: MetaSGD(net(), mse, lr=0.1, **options),
    "ANIL": lambda **options: ANIL(net(), mse, lr=0.1, **options),
    "MAML++": lambda **options: MAMLPlusPlus(net(), mse, lr=0.1, **options),
    "Alpha MAML": lambda **options: AlphaLearner(net(), mse, lr=0.1, **options),
    "first-order Meta-SGD": lambda **options: GradientLearner(net(), mse, learn_lr=True, first_order=True, **options),
    "CAVIA": cavia,
    "learned optimiser": lambda **options: LearnedOptimizer(net(), mse, hidden=4, **options),
    "meta-LSTM": lambda **options: MetaLSTM(net(), mse, hidden=4, **options),
}


def support_and_query(predicts: Sequence[Predict], episode: Episodes) -> Tensor:
    return mse(predicts[2], episode.support[2]) + mse(predicts[-1], episode.query)


OBJECTIVES: dict[str, Objective] = {
    "the last step": final(mse),
    "every step": multi_step(mse, tuple(0.1 * (1 + k) for k in range(STEPS))),
    "the support of one step": support_and_query,
}


def both(name: str) -> list[Learner]:
    """A learner with the same parameters, with and without rematerialisation."""
    made = []
    for rematerialise in (False, True):
        torch.manual_seed(0)
        made.append(LEARNERS[name](steps=STEPS, rematerialise=rematerialise).double())
        assert made[-1].rematerialise is rematerialise
    return made


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("name", LEARNERS)
def test_the_meta_gradient_is_the_same(name: str, objective: str) -> None:
    plain, saving = both(name)
    episodes = sample_episodes(tasks=3, steps=STEPS)
    value, expected = meta_gradient(plain, episodes, OBJECTIVES[objective])
    for chunk in (None, 2):
        again, found = meta_gradient(saving, episodes, OBJECTIVES[objective], chunk=chunk)
        assert again == pytest.approx(value, rel=1e-12)
        assert relative_error(flat(found), flat(expected)) < 1e-12


@pytest.mark.parametrize("name", ["MAML", "MAML++", "CAVIA"])
def test_derivatives_of_the_meta_gradient_are_the_same(name: str) -> None:
    """A trust region multiplies by Hessians, which differentiate the backward pass."""
    episodes, products = sample_episodes(tasks=2, steps=STEPS), []
    for learner in both(name):
        parameters = list(learner.parameters())
        loss = learner(episodes, OBJECTIVES["every step"]).mean()
        slopes = torch.autograd.grad(loss, parameters, create_graph=True, materialize_grads=True)
        squared = sum((slope.square().sum() for slope in slopes), torch.zeros(()))
        products.append(flat(torch.autograd.grad(squared, parameters, materialize_grads=True)))
    assert relative_error(products[1], products[0]) < 1e-12


def test_numbers_of_steps_from_none_on() -> None:
    for steps in (0, 1, 2, 3, 4, 10):
        episodes, gradients = sample_episodes(tasks=2, steps=steps), []
        for rematerialise in (False, True):
            torch.manual_seed(0)
            learner = MAML(net(), mse, steps=steps, rematerialise=rematerialise).double()
            gradients.append(flat(meta_gradient(learner, episodes, final(mse))[1]))
        assert relative_error(gradients[1], gradients[0]) < 1e-12


def test_gradients_of_the_data_are_the_same() -> None:
    plain, saving = both("MAML")
    found = []
    for learner in (plain, saving):
        episodes = sample_episodes(tasks=2, steps=STEPS)
        data = [batch.x.requires_grad_() for batch in episodes.support]
        found.append(flat(torch.autograd.grad(learner(episodes, final(mse)).sum(), data)))
    assert relative_error(found[1], found[0]) < 1e-12


def kept(learner: Learner, steps: int) -> int:
    """The largest number of bytes that graphs hold at a time during one meta-gradient."""
    held: dict[int, int] = {}
    most = 0

    def pack(tensor: Tensor) -> Held:
        nonlocal most
        packed = Held(tensor, held)
        most = max(most, sum(held.values()))
        return packed

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda packed: packed.tensor):
        meta_gradient(learner, sample_episodes(tasks=2, steps=steps), final(mse))
    return most


class Held:
    """A tensor that a graph holds, counted from when it is saved until the graph frees it."""

    def __init__(self, tensor: Tensor, held: dict[int, int]) -> None:
        self.tensor, self.held = tensor, held
        held[id(self)] = tensor.numel() * tensor.element_size()

    def __del__(self) -> None:
        self.held.pop(id(self), None)


def test_memory_grows_with_the_root_of_the_number_of_steps() -> None:
    make = partial(MAML, net().double(), mse, lr=0.01)
    assert kept(make(steps=100), 100) > 3.5 * kept(make(steps=25), 25)
    few, many = (kept(make(steps=steps, rematerialise=True), steps) for steps in (25, 100))
    assert many < 2.6 * few
    assert many < kept(make(steps=100), 100) / 4


def test_an_inner_loop_that_draws_random_numbers_is_refused() -> None:
    def noisy(predict: Predict, batch: Any) -> Tensor:
        return mse(predict, batch) * torch.rand(())

    learner = MAML(net(), noisy, steps=3, rematerialise=True).double()
    with pytest.raises(ValueError, match=r"the inner loop draws random numbers.*set rematerialise=False"):
        meta_gradient(learner, sample_episodes(steps=3), final(mse))
