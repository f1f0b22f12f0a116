"""Adam as the inner loop, as Reptile's image experiments have it (Nichol et al. 2018)."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import torch
from torch import Tensor, nn

from metarl.core import Loss
from metarl.learners.update_rule import Adapted, Parameters, UpdateRule
from metarl.ranges import Positive, Range, Whole, checked
from metarl.vectors import flatten, unflatten


class Moments(NamedTuple):
    """What Adam remembers: moving averages that start at 0."""

    squares: Tensor  # of the squared gradients, [coordinates]
    share: Tensor  # of 1, []: 1 − decayᵗ after t steps, which corrects the other for its start


class Adam(UpdateRule):
    """θ ← θ − `lr`·∇ / (√v̂ + ε) with v ← βv + (1 − β)∇², v̂ = v/(1 − βᵗ) and β = `decay`: Adam with β1 = 0.

    Nichol et al. 2018 (section 6) take no first moment, and let the second ones live on from task to task. Here every
    task of a meta-batch starts from the moments in this learner's buffers, to which `Reptile` gives the mean over the
    tasks after their last step; they are saved with the weights. Tasks at test start from them too, and leave them.
    (The paper's code takes one task after another; with the mean, moments change as if a meta-batch were one task.)
    Other outer loops leave the buffers at 0, so that each task starts its own moments.

    Steps are constants to the outer loop: `meta_gradient` gives the first-order one.
    """

    squares: Tensor
    share: Tensor

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
        self.register_buffer("share", start.new_zeros(()))

    def memory(self) -> Moments:
        return Moments(self.squares, self.share)

    def update(self, state: Adapted, gradients: Parameters, loss: Tensor) -> Adapted:
        slope = flatten(gradients)
        squares = self.decay * state.memory.squares + (1 - self.decay) * slope.square()
        share = self.decay * state.memory.share + (1 - self.decay)
        step = self.lr * slope / ((squares / share).sqrt() + self.epsilon)
        return Adapted(unflatten(flatten(state.parameters) - step, state.parameters), Moments(squares, share))
