"""MAML++ is MAML where its rates are equal and nothing else is per step; its rates and norms are where they belong."""

from __future__ import annotations

import byhand
import pytest
import torch
from byhand import flat, relative_error, slope_along
from toys import regressor, sample_episodes

from metarl.core import Episodes, meta_gradient
from metarl.learners.gradient import GradientLearner
from metarl.learners.per_step import MAMLPlusPlus
from metarl.losses import Samples, cross_entropy, mse
from metarl.nets.conv4 import Conv4
from metarl.nets.mlp import MLP
from metarl.objectives import multi_step


def images(*, steps: int, tasks: int = 3) -> Episodes:
    rng = torch.Generator().manual_seed(1)

    def batch(n: int) -> Samples:
        y = torch.randint(3, (tasks, n), generator=rng)
        return Samples(torch.randn(tasks, n, 1, 16, 16, generator=rng, dtype=torch.float64), y)

    return Episodes(tuple(batch(5) for _ in range(steps)), batch(7))


def conv() -> Conv4:
    """Away from its initial scales and shifts."""
    torch.manual_seed(0)
    net = Conv4(1, 3, size=16, filters=3).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return net


def classifier(*, steps: int = 2, norm_per_step: bool = True) -> MAMLPlusPlus:
    return MAMLPlusPlus(conv(), cross_entropy, steps=steps, lr=0.25, norm_per_step=norm_per_step).double()


def test_with_equal_rates_and_no_norm_per_step_it_is_maml() -> None:
    weights = (0.2, 0.3, 0.5)
    torch.manual_seed(0)
    plus = MAMLPlusPlus(MLP(1, 1, hidden=(5,), activation="tanh"), mse, steps=3, lr=0.25).double()
    cases = [
        (plus, regressor(steps=3, lr=0.25), sample_episodes(steps=3), mse),
        (classifier(steps=3, norm_per_step=False), GradientLearner(conv(), cross_entropy, steps=3, lr=0.25),
         images(steps=3), cross_entropy),
    ]  # fmt: skip
    for learner, maml, episodes, loss in cases:
        pair = [meta_gradient(each, episodes, multi_step(loss, weights)) for each in (learner, maml)]
        assert pair[0][0] == pytest.approx(pair[1][0], rel=1e-9)
        lrs, *rest = pair[0][1]
        assert relative_error(flat(rest), flat(pair[1][1])) < 1e-7
        assert lrs.shape[0] == 3
        assert (lrs != 0).all()


def test_each_step_and_layer_has_its_rate_and_the_last_holds() -> None:
    torch.manual_seed(0)
    learner = MAMLPlusPlus(MLP(1, 1, hidden=(5,), activation="tanh"), mse, steps=2, lr=0.2).double()
    assert learner.layers == ["layers.0", "layers.1"]
    lrs = torch.tensor([[0.1, 0.2], [0.3, -0.1]]).double()
    with torch.no_grad():
        learner.layer_lrs.copy_(lrs)
    task = byhand.task(sample_episodes(steps=3), 1)
    now = {name: value.detach().requires_grad_() for name, value in learner.net.named_parameters()}
    states = learner.states(task.support)
    for k, row in enumerate((0, 1, 1)):
        each = {name: lrs[row, int(name.startswith("layers.1"))] for name in now}
        now = byhand.adapted(now, [task.support[k]], byhand.squared_error, lr=each)[-1]
        for name, value in now.items():
            torch.testing.assert_close(states[k + 1][name], value, rtol=1e-12, atol=1e-12)


def test_norms_are_learned_for_each_step_and_not_adapted() -> None:
    learner = classifier()
    names = {name for name, _ in learner.net.named_parameters() if "norm" in name}
    assert len(names) == 8
    assert set(learner.init()) == set(dict(learner.net.named_parameters()))
    assert not any("norm" in layer for layer in learner.layers)
    with torch.no_grad():
        for i, value in enumerate(learner.norms.values()):
            value.copy_(torch.arange(6.0).view(2, 3) + 10 * i)
    states = learner.states(byhand.task(images(steps=3), 0).support)
    for name in names:
        rows = learner.norms[name.replace(".", "/")]
        for state, expected in zip(states, (learner.net.get_parameter(name), rows[0], rows[1], rows[1]), strict=True):
            torch.testing.assert_close(state[name], expected)
    assert not torch.equal(states[1]["head.weight"], states[0]["head.weight"])


def test_meta_gradient_of_a_net_with_norms() -> None:
    """By all parameters, rates and norms of each step among them, along a direction; in parts too."""
    learner, episodes, objective = classifier(steps=2), images(steps=2), multi_step(cross_entropy, (0.4, 0.6))
    parameters = list(learner.parameters())
    with torch.no_grad():
        for parameter in parameters:
            parameter.add_(0.05 * torch.randn_like(parameter))
    value, gradients = meta_gradient(learner, episodes, objective)
    names = [name for name, _ in learner.named_parameters()]
    for name, gradient in zip(names, gradients, strict=True):
        assert gradient.norm() > 1e-8, name
    chunked = meta_gradient(learner, episodes, objective, chunk=2)
    assert chunked[0] == pytest.approx(value, rel=1e-12)
    assert relative_error(flat(chunked[1]), flat(gradients)) < 1e-10
    direction = [torch.randn_like(p) for p in parameters]
    slope = slope_along(lambda: float(learner(episodes, objective).mean()), parameters, direction, h=1e-6)
    assert float(flat(gradients) @ flat(direction)) == pytest.approx(slope, rel=1e-4)


def test_one_step_at_least() -> None:
    with pytest.raises(ValueError, match="steps is 0"):
        MAMLPlusPlus(MLP(1, 1), mse, steps=0)
