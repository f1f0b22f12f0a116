"""Parameters by name: a net's head is its last layer, whatever its name and however many layers there are."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from metarl.adaptable import names
from metarl.learners.adam import Adam
from metarl.learners.gradient import GradientLearner
from metarl.learners.laplace import Headed
from metarl.learners.update_rule import UpdateRule
from metarl.losses import mse
from metarl.nets.conv4 import Conv4
from metarl.nets.dense import Dense
from metarl.nets.mlp import MLP
from metarl.nets.policy import GaussianPolicy
from metarl.nets.resnet import ResNet12
from metarl.rl.losses import surrogate

NETS: dict[str, tuple[nn.Module, str]] = {  # with the name of the last layer
    "mlp": (MLP(1, 1), "layers.2"),
    "a deeper mlp": (MLP(1, 1, hidden=(4, 4, 4)), "layers.3"),
    "a linear mlp": (MLP(1, 1, hidden=()), "layers.0"),
    "policy": (GaussianPolicy(2, 1), "mean.layers.2"),
    "a deeper policy": (GaussianPolicy(2, 1, hidden=(64, 64, 64)), "mean.layers.3"),
    "conv4": (Conv4(1, 5, filters=4), "head"),
    "dense": (Dense(1, 5, hidden=(4,)), "head"),
    "resnet12": (ResNet12(1, 5, filters=(4, 4)), "head"),
    "headed": (Headed(MLP(1, 4), features=4, outputs=2), "head"),
}


@pytest.mark.parametrize("name", NETS)
def test_head_is_the_last_layer(name: str) -> None:
    net, last = NETS[name]
    assert names(net, "head") == [f"{last}.weight", f"{last}.bias"]
    assert list(GradientLearner(net, mse, adapt="head").init()) == [f"{last}.weight", f"{last}.bias"]
    learner = Adam(net, mse)
    assert isinstance(learner, UpdateRule)
    assert names(learner, "net.head") == [f"net.{last}.weight", f"net.{last}.bias"]


@pytest.mark.parametrize("hidden", [(64, 64), (64, 64, 64)])
def test_anil_adapts_what_makes_the_actions(hidden: tuple[int, ...]) -> None:
    learner = GradientLearner(GaussianPolicy(3, 2, hidden=hidden), surrogate, adapt="head")
    assert {name: tuple(value.shape) for name, value in learner.init().items()} == {
        f"mean.layers.{len(hidden)}.weight": (2, 64), f"mean.layers.{len(hidden)}.bias": (2,),
    }  # fmt: skip


def test_names_are_parts_between_dots() -> None:
    net = MLP(1, 1, hidden=(2,) * 11)
    assert names(net, "layers.1") == ["layers.1.weight", "layers.1.bias"]  # and not those of layers.10 and 11
    assert names(net, "layers.1.weight") == ["layers.1.weight"]
    assert names(net, "") == [name for name, _ in net.named_parameters()]
    assert names(net, "lay") == names(net, "head.x") == names(net, "forward") == names(net, ".") == []


def test_a_net_without_a_last_layer_has_no_head() -> None:
    assert names(Conv4(1, None, filters=4), "head") == []
    with pytest.raises(ValueError, match=r"'head', but no parameter's name starts with it: Conv4 has blocks.0"):
        GradientLearner(Conv4(1, None, filters=4), mse, adapt="head")


def test_the_head_of_a_double_net_is_found_too() -> None:
    net = MLP(1, 1).double()
    assert net.head.weight is net.layers[-1].weight
    assert net(torch.zeros(0, 1, dtype=torch.float64)).shape == (0, 1)
