"""The gradient learner's settings by their methods' names."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from metarl.core import Loss
from metarl.learners.gradient import GradientLearner
from metarl.ranges import Positive, Whole, checked


class MAML(GradientLearner):
    """θ' = θ − α∇L_support(θ), `steps` times, differentiated through (Finn et al. 2017, eq. 1).

    `lr` is α, or a sequence of one α a step, whose last holds for all further steps.
    """

    @checked
    def __init__(
        self, net: nn.Module, loss: Loss, *, steps: Whole = 1, lr: Positive | Sequence[Positive] = 0.1
    ) -> None:
        super().__init__(net, loss, steps=steps, lr=lr)


class FOMAML(GradientLearner):
    """MAML whose inner gradients are constants to the outer loop: first order (Finn et al. 2017, section 5.2)."""

    @checked
    def __init__(
        self, net: nn.Module, loss: Loss, *, steps: Whole = 1, lr: Positive | Sequence[Positive] = 0.1
    ) -> None:
        super().__init__(net, loss, steps=steps, lr=lr, first_order=True)


class MetaSGD(GradientLearner):
    """MAML in which every parameter has its own learned step size, which starts at `lr` (Li et al. 2017, eq. 2)."""

    @checked
    def __init__(self, net: nn.Module, loss: Loss, *, steps: Whole = 1, lr: Positive = 0.1) -> None:
        super().__init__(net, loss, steps=steps, lr=lr, learn_lr=True)


class ANIL(GradientLearner):
    """MAML whose inner loop adapts the net's last layer only (Raghu et al. 2020), or parameters named by `adapt`."""

    @checked
    def __init__(
        self,
        net: nn.Module,
        loss: Loss,
        *,
        steps: Whole = 1,
        lr: Positive | Sequence[Positive] = 0.1,
        adapt: str = "head",
    ) -> None:
        super().__init__(net, loss, steps=steps, lr=lr, adapt=adapt)
