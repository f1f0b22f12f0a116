"""Inner loops whose steps are computed from gradients by a stateful update rule, such as Adam or a learned one."""

from __future__ import annotations

import math
from abc import abstractmethod
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value
from torch.utils._pytree import tree_map

from metarl.adaptable import check_names
from metarl.core import Learner, Loss, Tree
from metarl.ranges import Whole, checked

Parameters = dict[str, Tensor]
P = 7.0  # gradients with magnitudes above e^−P are represented by their logarithm


class Adapted(NamedTuple):
    """One task's parameters, by name, and the state of the update rule."""

    parameters: Parameters
    memory: Tree


class UpdateRule(Learner):
    """A learner whose inner steps are the method `update`, a function of gradients and a state.

    The initial parameters of the net are meta-parameters. With `adapt`, only parameters whose names start with it are
    adapted ("head" is the last layer), which saves memory for rules with a large state. Gradients and losses of the
    support are constants to the outer loop, so that there are no second derivatives; meta-gradients pass through the
    parameters before each step and through the rule. Raises ValueError if `adapt` matches no parameter.

    Args:
        steps: number of inner steps
        adapt: the start of the names of the parameters that are adapted; by default all, and "head" is the last layer
        rematerialise: recompute inner steps in the backward pass: memory grows with √steps, and time by about a third
    """

    @checked
    def __init__(
        self, net: nn.Module, loss: Loss, *, steps: Whole, adapt: str = "", rematerialise: bool = False
    ) -> None:
        super().__init__()
        self.net, self.loss, self.steps, self.rematerialise = net, loss, steps, rematerialise
        self.names = check_names(net, adapt, "adapt")

    @abstractmethod
    def memory(self) -> Tree:
        """The state of the rule before the first step."""

    @abstractmethod
    def update(self, state: Adapted, gradients: Parameters, loss: Tensor) -> Adapted:
        """The parameters and the state of the rule after a step, given the support loss and its gradients."""

    def init(self) -> Adapted:
        parameters = dict(self.net.named_parameters())
        return Adapted({name: parameters[name] for name in self.names}, self.memory())

    @property
    def coordinates(self) -> int:
        """The total size of the adapted parameters."""
        return sum(parameter.numel() for name, parameter in self.net.named_parameters() if name in self.names)

    def step(self, state: Adapted, batch: Any, k: int) -> Adapted:
        at = tree_map(torch.detach, state.parameters)
        gradients, loss = grad_and_value(lambda p: self.loss(partial(self.predict, Adapted(p, ())), batch))(at)
        return self.update(state, gradients, loss)

    def predict(self, state: Adapted, x: Tree) -> Tree:
        return functional_call(self.net, state.parameters, (x,))


def signals(gradients: Tensor) -> Tensor:
    """Gradients […] preprocessed as inputs of a net, […, 2] (Andrychowicz et al. 2016, appendix A)."""
    size = gradients.abs()
    large = size >= math.exp(-P)
    return torch.stack([
        torch.where(large, torch.where(large, size, 1.0).log() / P, -1.0),
        torch.where(large, gradients.sign(), math.exp(P) * gradients),
    ], -1)  # fmt: skip
