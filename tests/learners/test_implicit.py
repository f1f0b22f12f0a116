"""Implicit MAML against its minimum in closed form, long unrolling, and what conjugate gradients are."""

from __future__ import annotations

from functools import partial

import byhand
import pytest
import torch
from byhand import Params, flat, relative_error
from torch import Tensor, nn
from toys import regressor, sample_episodes

from metarl.core import Episodes, meta_gradient
from metarl.learners.implicit import IMAML
from metarl.losses import Samples, cross_entropy, mse
from metarl.nets.conv4 import Conv4
from metarl.nets.mlp import MLP
from metarl.objectives import final, multi_step


def implicit(*, hidden: tuple[int, ...] = (4,), steps: int = 150, lr: float = 0.3, **settings: float) -> IMAML:
    torch.manual_seed(0)
    net = MLP(1, 1, hidden=hidden, activation="tanh")
    return IMAML(net, mse, steps=steps, lr=lr, cg_steps=int(settings.pop("cg_steps", 20)), **settings).double()


def repeated(*, tasks: int = 3, steps: int = 150) -> Episodes:
    episodes = sample_episodes(tasks=tasks)
    return episodes._replace(support=episodes.support * steps)


def test_a_linear_net_ends_at_ridge_regression_around_the_start() -> None:
    """φ* = (H + λ)⁻¹(λθ + b) for the loss φᵀHφ/2 − bᵀφ, so dφ*/dθ = λ(H + λ)⁻¹."""
    learner, episodes = implicit(hidden=(), steps=80, strength=0.7), repeated(steps=80)
    weights = list(learner.parameters())
    theta = torch.cat([w.flatten() for w in weights])
    terms = []
    for t in range(3):
        task = byhand.task(episodes, t)
        x, y = task.support[0]
        rows, ahead = (torch.cat([part, torch.ones_like(part)], 1) for part in (x, task.query.x))
        hessian, slope = 2 * rows.T @ rows / len(x), 2 * rows.T @ y[:, 0] / len(x)
        end = torch.linalg.solve(hessian + 0.7 * torch.eye(2).double(), 0.7 * theta + slope)
        reached = learner.states(task.support)[-1]
        torch.testing.assert_close(flat(list(reached.values())), end.detach(), rtol=1e-10, atol=1e-10)
        terms.append((ahead @ end - task.query.y[:, 0]).square().mean())
    exact = flat(torch.autograd.grad(torch.stack(terms).mean(), weights))
    assert relative_error(flat(meta_gradient(learner, episodes, final(mse))[1]), exact) < 1e-10


def test_meta_gradient_is_that_of_long_unrolling() -> None:
    learner, episodes = implicit(steps=120, lr=0.15, strength=2.0), repeated(steps=120)
    params: Params = dict(learner.net.named_parameters())
    terms = []
    for t in range(3):
        task, now = byhand.task(episodes, t), params
        for _ in range(120):
            pull = sum(0.5 * 2.0 * (now[name] - params[name]).square().sum() for name in params)
            inner = torch.autograd.grad(
                byhand.squared_error(now, task.support[0]) + pull, list(now.values()), create_graph=True
            )
            now = {name: value - 0.15 * g for (name, value), g in zip(now.items(), inner, strict=True)}
        terms.append(byhand.squared_error(now, task.query))
    unrolled = flat(torch.autograd.grad(torch.stack(terms).mean(), list(params.values())))
    assert relative_error(flat(meta_gradient(learner, episodes, final(mse))[1]), unrolled) < 1e-7
    short = implicit(steps=120, strength=2.0, cg_steps=1)
    assert relative_error(flat(meta_gradient(short, episodes, final(mse))[1]), unrolled) > 1e-3


def test_meta_gradient_is_the_slope_of_the_query_loss_after_a_long_descent() -> None:
    learner, episodes = implicit(steps=100, lr=0.15, strength=2.0), repeated(tasks=2, steps=100)
    weights = list(learner.parameters())
    found = flat(meta_gradient(learner, episodes, final(mse))[1])
    direction = [torch.randn_like(w) for w in weights]
    start, along = [w.detach().clone() for w in weights], torch.zeros(1, dtype=torch.float64)

    def moved() -> float:
        with torch.no_grad():
            for weight, origin, change in zip(weights, start, direction, strict=True):
                weight.copy_(origin + float(along) * change)
            return float(learner(episodes, final(mse)).mean())

    slope = byhand.finite_differences(moved, [along])
    assert float(found @ flat(direction)) == pytest.approx(float(slope), rel=1e-6)


def test_without_a_pull_to_speak_of_a_step_is_mamls_and_its_derivative_is_not() -> None:
    episodes = sample_episodes()
    learner, maml = implicit(steps=1, lr=0.2, strength=1e-9), regressor(hidden=4, lr=0.2)
    learner.net.load_state_dict(maml.net.state_dict())
    pair = [meta_gradient(each, episodes, final(mse)) for each in (learner, maml)]
    assert pair[0][0] == pytest.approx(pair[1][0], rel=1e-12)
    assert relative_error(flat(pair[0][1]), flat(pair[1][1])) > 1e-2


def test_a_step_descends_on_the_loss_with_its_pull_towards_the_start() -> None:
    learner, task = implicit(lr=0.1, strength=3.0), byhand.task(sample_episodes(), 0)
    start = {name: value.detach() for name, value in learner.init().items()}
    state = {name: (value + 0.3).requires_grad_() for name, value in start.items()}
    loss = byhand.squared_error(state, task.query)
    slopes = torch.autograd.grad(loss, list(state.values()))
    stepped = learner.step(state, task.query, 0)
    for (name, value), slope in zip(state.items(), slopes, strict=True):
        torch.testing.assert_close(stepped[name], value - 0.1 * (slope + 3.0 * 0.3))


def test_cautious_steps_reach_the_minimum_that_others_leave_behind() -> None:
    torch.manual_seed(0)
    x = torch.tensor([3.0, 1.0]).double() * torch.randn(40, 2).double()
    batch = Samples(x, x @ torch.tensor([[1.0], [2.0]]).double())
    lr, strength = 0.5, 0.1
    hessian = 2 * x.T @ x / len(x)
    assert lr * hessian.diagonal().max() > 2  # a step of that size goes too far
    ends = []
    for cautious in (False, True):
        net = nn.Linear(2, 1, bias=False).double()
        learner = IMAML(net, mse, steps=60, lr=lr, strength=strength, cautious=cautious)
        start, state = net.weight.detach().clone(), learner.init()
        first = learner.step(state, batch, 0)["weight"] - start
        for k in range(200):
            state = learner.step(state, batch, k)
        matrix = hessian + strength * torch.eye(2).double()
        exact = torch.linalg.solve(matrix, 2 * x.T @ batch.y / len(x) + strength * start.T).T
        ends.append(relative_error(state["weight"].detach(), exact))
        slope = start @ hessian - (2 * x.T @ batch.y / len(x)).T
        size = (slope @ slope.T / (slope @ matrix @ slope.T)).item() if cautious else lr
        torch.testing.assert_close(first.detach(), -size * slope, rtol=1e-10, atol=1e-12)
    assert not ends[0] < 1
    assert ends[1] < 1e-9


def test_a_state_that_is_not_judged_has_no_part_and_no_nan() -> None:
    learner, episodes = implicit(steps=2), repeated(steps=2)
    last = flat(meta_gradient(learner, episodes, final(mse))[1])
    weighted = flat(meta_gradient(learner, episodes, multi_step(mse, (0.0, 1.0)))[1])
    torch.testing.assert_close(weighted, last)


def test_second_derivatives_are_those_of_the_minimum() -> None:
    """As a trust region takes them: the slope of the meta-gradient."""
    learner, episodes = implicit(steps=60, lr=0.15, strength=3.0, cg_steps=13), repeated(tasks=2, steps=60)
    weights = list(learner.parameters())
    direction = [torch.randn_like(w) for w in weights]
    start, along = [w.detach().clone() for w in weights], torch.zeros(1, dtype=torch.float64)

    def slope() -> Tensor:
        """Of the query loss along `direction`."""
        loss = learner(episodes, final(mse)).mean()
        found = torch.autograd.grad(loss, weights, create_graph=True)
        return torch.stack([(g * d).sum() for g, d in zip(found, direction, strict=True)]).sum()

    def moved() -> float:
        with torch.no_grad():
            for weight, origin, change in zip(weights, start, direction, strict=True):
                weight.copy_(origin + float(along) * change)
        return slope().item()

    second = flat(torch.autograd.grad(slope(), weights)) @ flat(direction)
    assert float(second) == pytest.approx(float(byhand.finite_differences(moved, [along])), rel=1e-5)


@pytest.mark.parametrize("pool", [False, True])
def test_images_and_labels_pass_through_vmap_as_through_a_loop(pool: bool) -> None:
    torch.manual_seed(0)
    learner = IMAML(Conv4(1, 3, size=16, filters=3, pool=pool), cross_entropy, steps=3).double()

    def batch(n: int) -> Samples:
        return Samples(torch.randn(3, n, 1, 16, 16).double(), torch.randint(3, (3, n)))

    episodes, terms = Episodes((batch(5), batch(5), batch(5)), batch(7)), []
    for t in range(3):
        task = byhand.task(episodes, t)
        terms.append(cross_entropy(partial(learner.predict, learner.states(task.support)[-1]), task.query))
    by_loop = flat(torch.autograd.grad(torch.stack(terms).mean(), list(learner.parameters())))
    for chunk in (None, 2):
        found = flat(meta_gradient(learner, episodes, final(cross_entropy), chunk=chunk)[1])
        assert relative_error(found, by_loop) < 1e-10


def test_settings_that_cannot_be_are_refused() -> None:
    make = partial(IMAML, MLP(1, 1), mse)
    with pytest.raises(ValueError, match="strength is 0"):
        make(strength=0)
    with pytest.raises(ValueError, match="cg_steps is 0"):
        make(cg_steps=0)
