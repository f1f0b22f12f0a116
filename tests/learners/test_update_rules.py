"""Inner loops with a memory: each rule by hand, through torch's own modules, and what all of them have in common."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import cast

import byhand
import numpy as np
import pytest
import torch
from byhand import flat, relative_error
from torch import Tensor, nn
from toys import Waves, sample_episodes

from metarl.algorithms.base import Algorithm
from metarl.algorithms.descent import Descent
from metarl.algorithms.reptile import Reptile
from metarl.core import Episodes, Objective, meta_gradient
from metarl.evaluation import evaluate
from metarl.learners.adam import Adam
from metarl.learners.learned_optimizer import LearnedOptimizer
from metarl.learners.meta_lstm import MetaLSTM
from metarl.learners.update_rule import UpdateRule
from metarl.losses import Samples, mse
from metarl.nets.mlp import MLP
from metarl.nets.recurrent import LSTMCell
from metarl.objectives import final, multi_step
from metarl.train import train

RULES: dict[str, Callable[[nn.Module, int], UpdateRule]] = {
    "learned optimizer": lambda net, steps: LearnedOptimizer(net, mse, steps=steps, hidden=6),
    "meta-lstm": lambda net, steps: MetaLSTM(net, mse, steps=steps, hidden=6, lr=0.1),
    "adam": lambda net, steps: Adam(net, mse, steps=steps, lr=0.05),
}
EACH = pytest.mark.parametrize("name", RULES)


def learner_of(name: str, *, steps: int = 3) -> UpdateRule:
    torch.manual_seed(0)
    return RULES[name](MLP(1, 1, hidden=(5,), activation="tanh"), steps).double()


def torch_cell(ours: LSTMCell) -> nn.LSTMCell:
    """torch's LSTM cell with the same weights."""
    cell = nn.LSTMCell(ours.inputs.in_features, ours.size).double()
    cell.weight_ih, cell.weight_hh, cell.bias_ih = ours.inputs.weight, ours.hidden.weight, ours.inputs.bias
    nn.init.zeros_(cell.bias_hh)
    return cell


def preprocessed(value: float) -> list[float]:
    if abs(value) >= math.exp(-7):
        return [math.log(abs(value)) / 7, math.copysign(1.0, value)]
    return [-1.0, math.exp(7) * value]


def slopes(params: dict[str, Tensor], batch: Samples) -> tuple[list[float], float]:
    """The flat gradient and the loss at the values of `params`."""
    at = {name: value.detach().requires_grad_() for name, value in params.items()}
    loss = byhand.squared_error(at, batch)
    return flat(torch.autograd.grad(loss, list(at.values()))).tolist(), float(loss.detach())


def placed(row: Tensor, like: dict[str, Tensor]) -> dict[str, Tensor]:
    parts = row.split([value.numel() for value in like.values()])
    return {name: part.view_as(value) for part, (name, value) in zip(parts, like.items(), strict=True)}


def learned_by_hand(learner: LearnedOptimizer, support: tuple[Samples, ...]) -> dict[str, Tensor]:
    params: dict[str, Tensor] = dict(learner.net.named_parameters())
    cells = [torch_cell(cast(LSTMCell, layer)) for layer in learner.layers]
    count = sum(p.numel() for p in params.values())
    memory = [[(torch.zeros(1, 6).double(),) * 2 for _ in cells] for _ in range(count)]
    for batch in support:
        steps = []
        for j, slope in enumerate(slopes(params, batch)[0]):
            x = torch.tensor([preprocessed(slope)]).double()
            for layer, cell in enumerate(cells):
                memory[j][layer] = cell(x, memory[j][layer])
                x = memory[j][layer][0]
            steps.append(learner.scale * learner.head(x)[0])
        params = placed(torch.cat([value.flatten() for value in params.values()]) + torch.cat(steps), params)
    return params


def lstm_by_hand(learner: MetaLSTM, support: tuple[Samples, ...]) -> dict[str, Tensor]:
    params: dict[str, Tensor] = dict(learner.net.named_parameters())
    cell = torch_cell(learner.first)
    theta = torch.cat([value.flatten() for value in params.values()])
    memory = [(torch.zeros(1, 6).double(),) * 2 for _ in theta]
    f = i = [torch.zeros(1, 1).double() for _ in theta]
    for batch in support:
        gradient, loss = slopes(params, batch)
        moved: list[tuple[Tensor, Tensor, Tensor]] = []
        for j, slope in enumerate(gradient):
            memory[j] = cell(torch.tensor([preprocessed(slope) + preprocessed(loss)]).double(), memory[j])
            seen = torch.cat([memory[j][0], theta[j].view(1, 1)], 1)
            keep = learner.forget(torch.cat([seen, f[j]], 1)).sigmoid()
            lr = learner.input(torch.cat([seen, i[j]], 1)).sigmoid()
            moved.append((keep, lr, keep * theta[j] - lr * slope))
        f, i = [m[0] for m in moved], [m[1] for m in moved]
        theta = torch.cat([m[2].view(1) for m in moved])
        params = placed(theta, params)
    return params


def adam_by_hand(learner: Adam, support: tuple[Samples, ...]) -> dict[str, Tensor]:
    """torch's Adam; what it moved is added to the start, which alone has a gradient."""
    start = dict(learner.net.named_parameters())
    moved = {name: value.detach().clone().requires_grad_() for name, value in start.items()}
    optimizer = torch.optim.Adam(moved.values(), lr=0.05, betas=(0.0, 0.999))
    for batch in support:
        optimizer.zero_grad()
        byhand.squared_error(moved, batch).backward()
        optimizer.step()
    return {name: value + (moved[name] - value).detach() for name, value in start.items()}


HANDS: dict[str, Callable[..., dict[str, Tensor]]] = {
    "learned optimizer": learned_by_hand,
    "meta-lstm": lstm_by_hand,
    "adam": adam_by_hand,
}


@EACH
def test_every_step_is_the_one_by_hand(name: str) -> None:
    learner, episode = learner_of(name), byhand.task(sample_episodes(steps=3), 1)
    states = learner.states(episode.support)
    for k in range(4):
        params = HANDS[name](learner, episode.support[:k])
        for key, value in params.items():
            torch.testing.assert_close(states[k].parameters[key], value, rtol=1e-9, atol=1e-12)
    assert (flat(list(states[3].parameters.values())) - flat(list(states[2].parameters.values()))).abs().max() > 1e-4


@EACH
@pytest.mark.parametrize("objective", [final(mse), multi_step(mse, (0.5, 1.0, 2.0))])
def test_meta_gradient_is_that_of_the_loop_by_hand_with_constant_gradients(name: str, objective: Objective) -> None:
    learner, episodes = learner_of(name), sample_episodes(steps=3)

    def judged(episode: Episodes) -> Tensor:
        params = [HANDS[name](learner, episode.support[:k]) for k in range(4)]
        return objective([partial(byhand.mlp, p) for p in params], episode)

    by_hand = torch.stack([judged(byhand.task(episodes, t)) for t in range(4)]).mean()
    truth = flat(torch.autograd.grad(by_hand, list(learner.parameters())))
    for chunk in (None, 1, 2, 3):
        value, gradients = meta_gradient(learner, episodes, objective, chunk=chunk)
        assert value == pytest.approx(float(by_hand.detach()), rel=1e-9)
        assert relative_error(flat(gradients), truth) < 1e-8


@EACH
def test_threads_do_not_change_a_bit(name: str) -> None:
    results, before = [], torch.get_num_threads()
    for count in (1, 3):
        torch.set_num_threads(count)
        try:
            learner, episodes = learner_of(name), sample_episodes(steps=3)
            gradients = flat(meta_gradient(learner, episodes, final(mse), chunk=1)[1])
            Reptile(learner, chunk=1).update(episodes)
            results.append((gradients, *(value.clone() for value in learner.state_dict().values())))
        finally:
            torch.set_num_threads(before)
    for one, three in zip(*results, strict=True):
        assert torch.equal(one, three)


def test_gates_of_the_meta_lstm_in_a_case_by_hand() -> None:
    """y = θ at x = 1, target 3, θ = 1: L = 4, ∇ = −4. With f = 1/2 and i = 1/4 exactly, θ goes to 1/2 + 1 = 3/2."""
    learner = MetaLSTM(nn.Linear(1, 1, bias=False), mse, steps=1).double()
    with torch.no_grad():
        next(learner.net.parameters()).fill_(1.0)
        for gate, value in ((learner.forget, 0.0), (learner.input, -math.log(3))):
            gate.weight.zero_(), gate.bias.fill_(value)
    batch = Samples(torch.ones(1, 1).double(), torch.full((1, 1), 3.0).double())
    state = learner.states((batch,))[1]
    torch.testing.assert_close(state.parameters["weight"], torch.tensor([[1.5]]).double())
    torch.testing.assert_close(state.memory.forget, torch.tensor([0.5]).double())
    torch.testing.assert_close(state.memory.input, torch.tensor([0.25]).double())


def test_at_the_start_the_meta_lstm_is_nearly_gradient_descent() -> None:
    learner, episode = learner_of("meta-lstm", steps=1), byhand.task(sample_episodes(), 0)
    before, after = learner.states(episode.support)
    slope = slopes(before.parameters, episode.support[0])[0]
    expected = 1 / (1 + math.exp(-5)) * flat(list(before.parameters.values())) - 0.1 * torch.tensor(slope)
    torch.testing.assert_close(flat(list(after.parameters.values())), expected, rtol=0.03, atol=0.01)


@pytest.mark.parametrize("chunk", [None, 1, 3])
def test_reptile_moves_parameters_by_its_rate_and_moments_to_their_mean(chunk: int | None) -> None:
    learner = learner_of("adam")
    assert isinstance(learner, Adam)
    algorithm = Reptile(learner, lr=0.5, chunk=chunk)
    for seed in range(3):  # from the second on, with moments of earlier tasks
        episodes = sample_episodes(steps=3, seed=seed)
        lasts = [learner.states(byhand.task(episodes.support, t))[-1] for t in range(4)]
        start = flat(list(learner.parameters()))
        ends = torch.stack([flat(list(last.parameters.values())) for last in lasts]).mean(0)
        squares = torch.stack([last.memory.squares for last in lasts]).mean(0)
        metrics = algorithm.update(episodes)
        torch.testing.assert_close(flat(list(learner.parameters())), start + 0.5 * (ends - start))
        torch.testing.assert_close(learner.squares, squares)
        torch.testing.assert_close(learner.correction, torch.tensor(1 - 0.999 ** (3 * (seed + 1))).double())
        assert metrics["distance"] == pytest.approx(float((ends - start).norm()))


def test_moments_live_on_as_torchs_adam_has_them_and_are_saved() -> None:
    """With one task an iteration and an outer rate of 1 Reptile is one long run of Adam."""
    learner = learner_of("adam")
    moved = {name: value.detach().clone().requires_grad_() for name, value in learner.net.named_parameters()}
    optimizer = torch.optim.Adam(moved.values(), lr=0.05, betas=(0.0, 0.999))
    algorithm = Reptile(learner, lr=1.0)
    for seed in range(3):
        episodes = sample_episodes(tasks=1, steps=3, seed=seed)
        algorithm.update(episodes)
        for batch in byhand.task(episodes.support, 0):
            optimizer.zero_grad()
            byhand.squared_error(moved, batch).backward()
            optimizer.step()
        for name, value in learner.net.named_parameters():
            torch.testing.assert_close(value, moved[name], rtol=1e-9, atol=1e-12)
    other = learner_of("adam")
    other.load_state_dict(learner.state_dict())
    assert isinstance(learner, Adam)
    assert isinstance(other, Adam)
    assert learner.squares.abs().sum() > 0
    torch.testing.assert_close((other.squares, other.correction), (learner.squares, learner.correction))


TOYS: dict[str, tuple[Callable[[nn.Module], UpdateRule], Callable[[UpdateRule], Algorithm], int]] = {
    "learned optimizer": (
        lambda net: LearnedOptimizer(net, mse, steps=3, hidden=8),
        lambda learner: Descent(learner, multi_step(mse, (1.0,) * 3), optimizer=lambda p: torch.optim.Adam(p, lr=0.01)),
        100,
    ),
    "meta-lstm": (
        lambda net: MetaLSTM(net, mse, steps=3, hidden=8, lr=0.1),
        lambda learner: Descent(learner, final(mse), optimizer=lambda p: torch.optim.Adam(p, lr=0.01)),
        100,
    ),
    "adam": (
        lambda net: Adam(net, mse, steps=5, lr=0.02),
        lambda learner: Reptile(learner, lr=1.0, lr_end=0.1, iterations=100),
        100,
    ),
}


@pytest.mark.parametrize("name", TOYS)
def test_waves(name: str) -> None:
    """After training, adaptation leaves less than 0.4 of the error that any prediction without it has."""
    make, outer, iterations = TOYS[name]
    torch.manual_seed(0)
    learner = make(MLP(1, 1, hidden=(20,), activation="tanh"))

    def error() -> float:
        rng = np.random.default_rng(1)
        return float(evaluate(learner, Waves(), steps=learner.steps, num_tasks=100, rng=rng)[-1].mean())

    before = error()
    for _ in train(outer(learner), Waves(), iterations=iterations, meta_batch=10):
        pass
    assert before > 0.4 * Waves.blind
    assert error() < 0.4 * Waves.blind


def test_settings_that_cannot_be_are_refused() -> None:
    net = MLP(1, 1)
    with pytest.raises(ValueError, match="steps is -1"):
        Adam(net, mse, steps=-1)
    with pytest.raises(ValueError, match="decay is 1"):
        Adam(net, mse, decay=1)
    with pytest.raises(ValueError, match="lr is 0"):
        MetaLSTM(net, mse, lr=0)
    with pytest.raises(ValueError, match="layers is 0"):
        LearnedOptimizer(net, mse, layers=0)
