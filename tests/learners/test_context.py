"""CAVIA worked by hand, what moves and what does not, and the nets that take a context."""

from __future__ import annotations

from typing import Any

import byhand
import pytest
import torch
from byhand import flat, slope_along
from torch import Tensor, nn
from torch.nn import functional
from toys import sample_episodes

from metarl.algorithms.descent import Descent
from metarl.core import Episodes, meta_gradient
from metarl.learners.context import CAVIA, Concatenated, FiLM
from metarl.losses import Samples, cross_entropy, mse
from metarl.nets.conv4 import Conv4
from metarl.nets.mlp import MLP
from metarl.objectives import final


def test_a_linear_net_worked_by_hand() -> None:
    """f = w·x + u·φ: after a step φ = −2α·mean(wx − y)·u, and f has u·φ more at every x."""
    learner = CAVIA(Concatenated(MLP(3, 1, hidden=())), mse, context=2, lr=0.25).double()
    weight, bias = learner.net.parameters()
    with torch.no_grad():
        weight.copy_(torch.tensor([[2.0, 1.0, -3.0]]))
        bias.zero_()
    one = torch.ones(1, 1).double()
    support = Samples(torch.cat([one, 3 * one]), torch.cat([0 * one, 4 * one]))  # wx − y is 2 and 2
    before, after = learner.states((support,))
    assert before.tolist() == [0.0, 0.0]
    assert after.tolist() == [-1.0, 3.0]
    assert learner.predict(after, 5 * one).item() == 10.0 - 10.0
    episodes = Episodes((Samples(support.x[None], support.y[None]),), Samples(5 * one[None], one[None]))
    loss, (by_weight, by_bias) = meta_gradient(learner, episodes, final(mse))
    assert loss == 1.0
    # f = 5w + b − (u·u)·r/2 with r = mean(wx − y) = 2w + b − 2; dL/df = 2(0 − 1)
    assert by_weight.tolist() == [[-2 * (5 - 10 * 1.0 / 2 * 2), -2 * (-2 * 1.0), -2 * (-2 * -3.0)]]
    assert by_bias.tolist() == [-2 * (1 - 10 * 1.0 / 2)]


def test_only_the_context_is_adapted_and_only_the_net_is_learned() -> None:
    torch.manual_seed(0)
    learner = CAVIA(Concatenated(MLP(4, 1, hidden=(5,))), mse, context=3, steps=2).double()
    assert [name for name, _ in learner.named_parameters()] == [f"net.{n}" for n, _ in learner.net.named_parameters()]
    assert list(learner.state_dict()) == [name for name, _ in learner.named_parameters()]
    weights = flat(list(learner.parameters())).clone()
    states = learner.states(byhand.task(sample_episodes(steps=2), 0).support)
    assert [tuple(state.shape) for state in states] == [(3,)] * 3
    assert all(float((a - b).detach().norm()) > 1e-4 for a, b in zip(states[1:], states, strict=False))
    assert torch.equal(flat(list(learner.parameters())), weights)
    Descent(learner, final(mse), optimizer=lambda p: torch.optim.SGD(p, lr=0.1)).update(sample_episodes(steps=2))
    assert not torch.allclose(flat(list(learner.parameters())), weights)
    assert torch.equal(learner.init(), torch.zeros(3).double())


def modulated(*, pool: bool = False, block: int = 2) -> FiLM:
    torch.manual_seed(0)
    net = FiLM(Conv4(2, 3, size=17, filters=4, pool=pool), context=5, block=block).double()
    with torch.no_grad():
        for parameter in net.net.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return net


def by_hand(net: FiLM, x: Tensor, context: Tensor, *, block: int, pool: bool) -> Tensor:
    scale, shift = functional.linear(context, net.modulation.weight, net.modulation.bias).view(2, 4, 1, 1)
    params = dict(net.net.named_parameters())
    for i in range(4):
        name = f"blocks.{i}."
        x = functional.conv2d(x, params[f"{name}convolution.weight"], stride=1 if pool else 2, padding=1)
        norm = params[f"{name}norm.weight"], params[f"{name}norm.bias"]
        x = functional.batch_norm(x, None, None, *norm, training=True)
        x = (scale * x + shift if i == block else x).relu()
        x = functional.max_pool2d(x, 2) if pool else x
    return functional.linear(x.flatten(1) if pool else x.mean((2, 3)), params["head.weight"], params["head.bias"])


@pytest.mark.parametrize("pool", [False, True])
@pytest.mark.parametrize("block", [0, 2])
def test_film_scales_and_shifts_the_normalised_features_of_one_block(pool: bool, block: int) -> None:
    net, x, context = modulated(pool=pool, block=block), torch.randn(6, 2, 17, 17).double(), torch.randn(5).double()
    torch.testing.assert_close(net(x, context), by_hand(net, x, context, block=block, pool=pool))
    torch.testing.assert_close(net(x, 0 * context), net.net(x))  # at first, the plain net
    assert not torch.allclose(net(x, context), net.net(x))


def test_images_are_told_apart_by_the_context_to_second_order() -> None:
    net = modulated()
    learner = CAVIA(net, cross_entropy, context=5, steps=2, lr=0.5).double()

    def batch(n: int) -> Samples:
        return Samples(torch.randn(3, n, 2, 17, 17).double(), torch.randint(3, (3, n)))

    support = batch(5)
    episodes = Episodes((support, support), batch(7))
    parameters = list(learner.parameters())
    found = flat(meta_gradient(learner, episodes, final(cross_entropy), chunk=2)[1])
    direction = [torch.randn_like(p) for p in parameters]
    slope = slope_along(lambda: float(learner(episodes, final(cross_entropy)).mean()), parameters, direction, h=1e-6)
    assert float(found @ flat(direction)) == pytest.approx(slope, rel=1e-5)


def test_any_net_of_an_input_and_a_context_serves() -> None:
    class Shifted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.tensor(1.0))

        def forward(self, x: Any, context: Tensor) -> Tensor:
            return self.scale * x["left"] + context[0]

    learner = CAVIA(Shifted(), mse, context=1, lr=0.5)
    x = {"left": torch.ones(2, 1)}
    (state,) = learner.states(((Samples(x, torch.full((2, 1), 3.0))),))[1:]  # type: ignore[arg-type]
    assert state.tolist() == [2.0]  # all of the error 2 at once
    assert learner.predict(state, x).tolist() == [[3.0], [3.0]]


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="context is 0"):
        CAVIA(nn.Identity(), mse, context=0)
    with pytest.raises(ValueError, match="steps is -1"):
        CAVIA(nn.Identity(), mse, context=1, steps=-1)
    with pytest.raises(ValueError, match=r"block is 4.*0 to 3"):
        FiLM(Conv4(1, 5), context=2, block=4)
