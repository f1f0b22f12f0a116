"""Adam as the inner loop, as in Reptile's image experiments (Nichol et al. 2018)."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import torch
from torch import Tensor, nn

from metarl.core import Loss
from metarl.learners.update_rule import Adapted, Parameters, UpdateRule
from metarl.ranges import Positive, Range, Whole, checked
from metarl.vectors import flatten, unflatten


class Moments(NamedTuple):
    """The state of Adam: moving averages that start at 0."""

    squares: Tensor  # of the squared gradients, [coordinates]
    correction: Tensor  # of 1, []: 1 − decayᵗ after t steps, the bias correction


class Adam(UpdateRule):
    """Adam with β1 = 0: θ ← θ − α·∇ / (√v̂ + ε) with v ← β·v + (1 − β)·∇² and v̂ = v/(1 − βᵗ).

    Nichol et al. 2018 (section 6) use no first moment, and keep the second moments from one task to the next. Here all
    tasks of a meta-batch start from the moments in the learner's buffers, which `Reptile` sets to the mean over the
    tasks after their last step; they are saved with the weights. (The paper's code processes one task after another.)
    Test tasks also start from these moments, without changing them. Other outer loops leave the buffers at 0, so that
    each task has its own moments.

    The steps are constants to the outer loop: meta-gradients are first-order.

    Args:
        steps: number of inner steps
        lr: inner learning rate α
        decay: decay rate β of the second moments
        epsilon: ε, which is added to the root of the second moments
    """

    squares: Tensor
    correction: Tensor

    @checked
    def __init__(
        self,
        net: nn.Module,
        loss: Loss,
        *,
        steps: Whole = 5,
        lr: Positive = 1e-3,
        decay: Annotated[float, Range(0, 1, below=True)] = 0.999,
        epsilon: Positive = 1e-8,
    ) -> None:
        super().__init__(net, loss, steps=steps)
        self.lr, self.decay, self.epsilon = lr, decay, epsilon
        start = torch.zeros_like(flatten(dict(net.named_parameters())).detach())
        self.register_buffer("squares", start)
        self.register_buffer("correction", start.new_zeros(()))

    def memory(self) -> Moments:
        return Moments(self.squares, self.correction)

    def update(self, state: Adapted, gradients: Parameters, loss: Tensor) -> Adapted:
        slope = flatten(gradients)
        squares = self.decay * state.memory.squares + (1 - self.decay) * slope.square()
        correction = self.decay * state.memory.correction + (1 - self.decay)
        step = self.lr * slope / ((squares / correction).sqrt() + self.epsilon)
        return Adapted(unflatten(flatten(state.parameters) - step, state.parameters), Moments(squares, correction))
