"""The learned optimiser for long horizons: torch's Adam before training, features by hand, nets of other sizes."""

from __future__ import annotations

import math
from functools import partial

import byhand
import numpy as np
import pytest
import torch
from byhand import flat, relative_error
from torch import Tensor
from toys import Waves, sample_episodes

from metarl.algorithms.descent import Descent
from metarl.core import meta_gradient
from metarl.evaluation import evaluate
from metarl.learners.mlp_optimizer import MLPOptimizer, StepRule
from metarl.losses import Samples, mse
from metarl.nets.mlp import MLP
from metarl.objectives import multi_step
from metarl.train import train


def optimizer(*, trained: bool = True, steps: int = 3, hidden: int = 5) -> MLPOptimizer:
    torch.manual_seed(0)
    rule = StepRule(lr=0.05, hidden=(6,))
    if trained:  # some weights, so that the net matters
        for parameter in rule.net.head.parameters():
            torch.nn.init.normal_(parameter)
    return MLPOptimizer(MLP(1, 1, hidden=(hidden,), activation="tanh"), mse, rule, steps=steps).double()


def slope_at(params: dict[str, Tensor], batch: Samples) -> Tensor:
    at = {name: value.detach().requires_grad_() for name, value in params.items()}
    return flat(torch.autograd.grad(byhand.squared_error(at, batch), list(at.values())))


def by_hand(learner: MLPOptimizer, support: tuple[Samples, ...]) -> dict[str, Tensor]:
    """The parameters after some steps, each coordinate and each average on its own."""
    params: dict[str, Tensor] = dict(learner.net.named_parameters())
    slopes: list[Tensor] = []
    for t, batch in enumerate(support, start=1):
        slopes.append(slope_at(params, batch))

        def average(values: list[Tensor], decay: float, t: int = t) -> Tensor:
            weights = [(1 - decay) * decay ** (t - 1 - i) for i in range(t)]
            return sum(w * v for w, v in zip(weights, values, strict=True)) / (1 - decay**t)  # type: ignore[return-value]

        means = [average(slopes, decay) for decay in (0.5, 0.9, 0.99)]
        roots = [average([s * s for s in slopes], decay).sqrt() + 1e-8 for decay in (0.9, 0.99, 0.999)]
        centre = sum(math.log(r) for r in roots[2]) / len(roots[2])
        steps = []
        for j in range(len(slopes[-1])):
            r = roots[2][j]
            inputs = [slopes[-1][j] / r, *(m[j] / r for m in means)]
            inputs += [(roots[0][j] / r).log(), (roots[1][j] / r).log(), r.log() - centre]
            d, s = learner.rule.net(torch.stack(inputs).tanh())
            steps.append((learner.rule.scale + 2 * torch.tanh(s)).exp() * (means[1][j] / r + torch.tanh(d)))
        theta = torch.cat([value.flatten() for value in params.values()]) - torch.stack(steps)
        parts = theta.split([value.numel() for value in params.values()])
        params = {name: part.view_as(value) for part, (name, value) in zip(parts, params.items(), strict=True)}
    return params


def test_every_step_is_the_one_by_hand() -> None:
    learner, episode = optimizer(), byhand.task(sample_episodes(steps=3), 1)
    states = learner.states(episode.support)
    for k in range(4):
        for name, value in by_hand(learner, episode.support[:k]).items():
            torch.testing.assert_close(states[k].parameters[name], value, rtol=1e-9, atol=1e-12)


def test_before_training_it_is_torchs_adam() -> None:
    learner, episode = optimizer(trained=False), byhand.task(sample_episodes(steps=6), 0)
    moved = {name: value.detach().clone().requires_grad_() for name, value in learner.net.named_parameters()}
    adam = torch.optim.Adam(moved.values(), lr=0.05)
    for batch in episode.support:
        adam.zero_grad()
        byhand.squared_error(moved, batch).backward()
        adam.step()
    for name, value in learner.states(episode.support)[-1].parameters.items():
        torch.testing.assert_close(value, moved[name], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("rematerialise", [False, True])
def test_meta_gradient_is_that_of_the_loop_by_hand_with_constant_gradients(rematerialise: bool) -> None:
    learner, episodes = optimizer(), sample_episodes(steps=3)
    learner.rematerialise = rematerialise
    objective = multi_step(mse, (0.5, 1.0, 2.0))
    terms = []
    for t in range(4):
        episode = byhand.task(episodes, t)
        params = [by_hand(learner, episode.support[:k]) for k in range(4)]
        terms.append(objective([partial(byhand.mlp, p) for p in params], episode))
    by_loop = torch.stack(terms).mean()
    value, found = meta_gradient(learner, episodes, objective, chunk=3)
    assert value == pytest.approx(float(by_loop.detach()), rel=1e-9)
    assert relative_error(flat(found), flat(torch.autograd.grad(by_loop, list(learner.parameters())))) < 1e-8


def test_steps_do_not_depend_on_the_scale_of_the_loss() -> None:
    learner, episode = optimizer(), byhand.task(sample_episodes(steps=4), 0)
    usual = learner.states(episode.support)[-1].parameters
    learner.loss = lambda predict, batch: 1000 * mse(predict, batch)
    for name, value in learner.states(episode.support)[-1].parameters.items():
        torch.testing.assert_close(value, usual[name], rtol=1e-4, atol=1e-5)


def test_a_trained_rule_is_faster_than_adam_on_a_larger_net_and_for_more_steps() -> None:
    """Trained on 8 steps of a net of 10 units, from Adam with too small a learning rate; applied to 40 units."""
    torch.manual_seed(0)
    rule = StepRule(lr=0.001)
    small, large = (MLPOptimizer(MLP(1, 1, hidden=(n,), activation="tanh"), mse, rule, steps=8) for n in (10, 40))

    def error() -> float:
        rng = np.random.default_rng(1)
        return float(evaluate(large, Waves(), steps=15, num_tasks=50, rng=rng)[-1].mean())

    before = error()
    outer = Descent(small, multi_step(mse, (1.0,) * 8), lr=0.02, freeze="net")
    for _ in train(outer, Waves(), iterations=20, meta_batch=10):
        pass
    assert error() < 0.6 * before


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="lr is 0"):
        StepRule(lr=0)
    with pytest.raises(ValueError, match="rule is 3: give a StepRule"):
        MLPOptimizer(MLP(1, 1), mse, 3)  # type: ignore[arg-type]
