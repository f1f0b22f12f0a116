"""A learned optimiser for many steps: a small MLP corrects the steps of Adam in each coordinate (Metz et al. 2022)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from metarl.core import Loss
from metarl.described import Described
from metarl.learners.update_rule import Adapted, Parameters, UpdateRule
from metarl.nets.mlp import MLP
from metarl.ranges import Count, Positive, Whole, checked
from metarl.vectors import flatten, unflatten

MOMENTA = (0.5, 0.9, 0.99)  # decay rates of the averages of gradients
SQUARES = (0.9, 0.99, 0.999)  # decay rates of the averages of squared gradients
ADAM = 1  # the index of Adam's momentum, 0.9
SMALL = 1e-8


class Averages(NamedTuple):
    """The state of the update rule: moving averages, which are 0 before the first step, and the number of steps."""

    gradients: Tensor  # averages of gradients, [coordinates, 3], with the decay rates MOMENTA
    squares: Tensor  # averages of squared gradients, [coordinates, 3], with the decay rates SQUARES
    taken: Tensor  # number of steps, a scalar


class StepRule(Described, nn.Module):
    """The net of a learned optimiser, which several learners `MLPOptimizer` with different nets may share.

    Its inputs are features [coordinates, 7] of the gradients of each coordinate, and its outputs (d, s) change Adam's
    step a to exp(scale + 2·tanh(s))·(a + tanh(d)). Before training, the last layer is 0 and exp(scale) is `lr`, so that
    the rule is Adam with this learning rate.

    Args:
        lr: learning rate of Adam, which the rule equals before training
        hidden: number of units of each hidden layer
    """

    @checked
    def __init__(self, *, lr: Positive = 0.01, hidden: Sequence[Count] = (16, 16)) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(math.log(lr)))
        self.net = MLP(1 + len(MOMENTA) + len(SQUARES), 2, hidden=hidden)
        for parameter in self.net.head.parameters():
            nn.init.zeros_(parameter)

    def forward(self, features: Tensor, adam: Tensor) -> Tensor:
        """The steps [coordinates], from features [coordinates, 7] and Adam's steps [coordinates]."""
        d, s = self.net(features).unbind(-1)
        return (self.scale + 2 * s.tanh()).exp() * (adam + d.tanh())


class MLPOptimizer(UpdateRule):
    """A learned update rule in the spirit of VeLO: θ ← θ − rule(features of the gradients), for each coordinate.

    The features are those of Metz et al. (2022, "Practical tradeoffs between memory, compute, and performance in
    learned optimizers") that do not depend on the scale of the loss: the gradient and its moving averages at three
    time scales, divided by the root r of the slowest average of squares; the logarithms of the ratios of the faster
    roots to r; and that of r to the geometric mean of r over all coordinates. All averages are bias-corrected as in
    Adam. No feature depends on the number of steps or on the size of the net, so that a `StepRule` that was trained on
    few steps and small nets can be applied to more steps and larger nets. VeLO (Metz et al. 2022b) also has an LSTM for
    each tensor, and is trained on thousands of times as many tasks.

    The outer loop treats gradients as constants. The initial parameters of the net are meta-parameters, too; to train
    only the rule, give the outer loop freeze="net".

    Args:
        steps: number of inner steps
        adapt: the start of the names of the parameters that are adapted; by default all, and "head" is the last layer
        rematerialise: recompute inner steps in the backward pass: memory grows with √steps, and time by about a third
    """

    @checked
    def __init__(
        self, net: nn.Module, loss: Loss, rule: StepRule, *, steps: Whole = 20, adapt: str = "",
        rematerialise: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(net, loss, steps=steps, adapt=adapt, rematerialise=rematerialise)
        self.rule = rule

    def memory(self) -> Averages:
        zeros = self.rule.scale.new_zeros(self.coordinates, 3)
        return Averages(zeros, zeros, zeros[0, 0])

    def update(self, state: Adapted, gradients: Parameters, loss: Tensor) -> Adapted:
        gradient, memory = flatten(gradients)[:, None], state.memory
        momenta, squares = (gradient.new_tensor(decays) for decays in (MOMENTA, SQUARES))
        memory = Averages(
            momenta * memory.gradients + (1 - momenta) * gradient,
            squares * memory.squares + (1 - squares) * gradient.square(),
            memory.taken + 1,
        )
        means = memory.gradients / (1 - momenta**memory.taken)
        roots = (memory.squares / (1 - squares**memory.taken)).sqrt() + SMALL
        steps = self.rule(features(gradient, means, roots), means[:, ADAM] / roots[:, -1])
        return Adapted(unflatten(flatten(state.parameters) - steps, state.parameters), memory)


def features(gradient: Tensor, means: Tensor, roots: Tensor) -> Tensor:
    """The features [n, 7] of gradients [n, 1], their averages [n, 3], and the roots of averages of squares [n, 3]."""
    slowest, logs = roots[:, -1:], roots.log()
    compared = torch.cat([logs[:, :-1] - logs[:, -1:], logs[:, -1:] - logs[:, -1:].mean()], 1)
    return torch.cat([torch.cat([gradient, means], 1) / slowest, compared], 1).tanh()
