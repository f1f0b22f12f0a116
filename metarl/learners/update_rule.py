"""Inner loops that make steps of gradients by a rule with a memory: Adam's, or a learned one."""

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
P = 7.0  # gradients below e^−P are told by their value, the others by their logarithm


class Adapted(NamedTuple):
    """One task's parameters, by name, and what the rule remembers."""

    parameters: Parameters
    memory: Tree


class UpdateRule(Learner):
    """A net whose parameters take `steps` steps by `update`; all of them are meta-parameters at their start.

    With `adapt`, only parameters whose name starts so take steps ("head": the last layer): a rule that remembers
    much of each is costly.
    Gradients and losses of the support are constants to the outer loop: no derivative passes through them, nor do
    second derivatives arise. What passes are the parameters that a step starts from, and the rule itself.

    Raises ValueError when `adapt` matches no parameter.
    """

    @checked
    def __init__(self, net: nn.Module, loss: Loss, *, steps: Whole, adapt: str = "") -> None:
        super().__init__()
        self.net, self.loss, self.steps = net, loss, steps
        self.names = check_names(net, adapt, "adapt")

    @abstractmethod
    def memory(self) -> Tree:
        """What the rule remembers before the first step."""

    @abstractmethod
    def update(self, state: Adapted, gradients: Parameters, loss: Tensor) -> Adapted:
        """The state after a step, from the support's loss and its gradients by the parameters."""

    def init(self) -> Adapted:
        return Adapted({name: self.net.get_parameter(name) for name in self.names}, self.memory())

    @property
    def coordinates(self) -> int:
        """How many numbers take steps."""
        return sum(self.net.get_parameter(name).numel() for name in self.names)

    def step(self, state: Adapted, batch: Any, k: int) -> Adapted:
        at = tree_map(torch.detach, state.parameters)
        gradients, loss = grad_and_value(lambda p: self.loss(partial(self.predict, Adapted(p, ())), batch))(at)
        return self.update(state, gradients, loss)

    def predict(self, state: Adapted, x: Tree) -> Tree:
        return functional_call(self.net, state.parameters, (x,))


def signals(gradients: Tensor) -> Tensor:
    """Gradients […] as inputs of a network, […, 2] (Andrychowicz et al. 2016, appendix A)."""
    size = gradients.abs()
    large = size >= math.exp(-P)
    return torch.stack([
        torch.where(large, torch.where(large, size, 1.0).log() / P, -1.0),
        torch.where(large, gradients.sign(), math.exp(P) * gradients),
    ], -1)  # fmt: skip
