"""MAML, FOMAML, Meta-SGD and ANIL as classes."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from metarl.core import Loss
from metarl.learners.gradient import GradientLearner
from metarl.ranges import Positive, Whole, checked


class MAML(GradientLearner):
    """Model-agnostic meta-learning: gradient steps θ' = θ − α∇L_support(θ), differentiated by the outer loop.

    See Finn et al. 2017, eq. 1.

    Args:
        steps: number of inner steps
        lr: inner learning rate α, or one for each step; the last holds for further steps
        rematerialise: recompute inner steps in the backward pass: memory grows with √steps, and time by about a third
    """

    @checked
    def __init__(
        self,
        net: nn.Module,
        loss: Loss,
        *,
        steps: Whole = 1,
        lr: Positive | Sequence[Positive] = 0.1,
        rematerialise: bool = False,
    ) -> None:
        super().__init__(net, loss, steps=steps, lr=lr, rematerialise=rematerialise)


class FOMAML(GradientLearner):
    """First-order MAML, whose outer loop treats inner gradients as constants (Finn et al. 2017, section 5.2).

    Args:
        steps: number of inner steps
        lr: inner learning rate α, or one for each step; the last holds for further steps
    """

    @checked
    def __init__(
        self, net: nn.Module, loss: Loss, *, steps: Whole = 1, lr: Positive | Sequence[Positive] = 0.1
    ) -> None:
        super().__init__(net, loss, steps=steps, lr=lr, first_order=True)


class MetaSGD(GradientLearner):
    """MAML in which every parameter has its own learned inner learning rate (Meta-SGD, Li et al. 2017, eq. 2).

    Args:
        steps: number of inner steps
        lr: initial value of all inner learning rates
        rematerialise: recompute inner steps in the backward pass: memory grows with √steps, and time by about a third
    """

    @checked
    def __init__(
        self, net: nn.Module, loss: Loss, *, steps: Whole = 1, lr: Positive = 0.1, rematerialise: bool = False
    ) -> None:
        super().__init__(net, loss, steps=steps, lr=lr, learn_lr=True, rematerialise=rematerialise)


class ANIL(GradientLearner):
    """MAML whose inner loop adapts only the last layer of the net (almost no inner loop, Raghu et al. 2020).

    Args:
        steps: number of inner steps
        lr: inner learning rate α, or one for each step; the last holds for further steps
        adapt: the start of the names of the parameters that are adapted; "head" is the last layer
        rematerialise: recompute inner steps in the backward pass: memory grows with √steps, and time by about a third
    """

    @checked
    def __init__(
        self,
        net: nn.Module,
        loss: Loss,
        *,
        steps: Whole = 1,
        lr: Positive | Sequence[Positive] = 0.1,
        adapt: str = "head",
        rematerialise: bool = False,
    ) -> None:
        super().__init__(net, loss, steps=steps, lr=lr, adapt=adapt, rematerialise=rematerialise)
