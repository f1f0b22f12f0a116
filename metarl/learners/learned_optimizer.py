"""A learned optimiser: an LSTM that maps gradients to steps coordinate by coordinate (Andrychowicz et al. 2016)."""

from __future__ import annotations

from torch import Tensor, nn

from metarl.core import Loss
from metarl.learners.update_rule import Adapted, Parameters, UpdateRule, signals
from metarl.nets.recurrent import LSTMCell
from metarl.ranges import Count, Positive, Whole, checked
from metarl.vectors import flatten, unflatten

Hidden = tuple[tuple[Tensor, Tensor], ...]  # the state (h, c) of each layer, [coordinates, hidden] each


class LearnedOptimizer(UpdateRule):
    """A learned update rule: θ ← θ + g, (g, h) ← m(∇L_support(θ), h), where m is an LSTM and a linear layer.

    See Andrychowicz et al. 2016, eq. 3. All coordinates of θ share the weights of m, and each has its own state h,
    which is 0 at first (section 2.1). The input is (log|∇|/p, sgn ∇), or (−1, eᵖ∇) if |∇| < e⁻ᵖ, with p = 7 (appendix
    A). As in the paper, gradients are constants to the outer loop.

    The objective `multi_step(loss, (1.0,) * steps)` is the paper's Σ_t w_t f(θ_t) with w_t = 1. There are two
    differences: the initial θ is a meta-parameter instead of a random one, and f is the loss on the query instead of
    that on the data of the gradients. The paper unrolls 20 of 100 steps at a time, to save memory.

    Args:
        steps: number of inner steps
        hidden: hidden units of each LSTM layer
        layers: number of LSTM layers
        scale: factor of the output of m
        adapt: the start of the names of the parameters that are adapted; by default all, and "head" is the last layer
        rematerialise: recompute inner steps in the backward pass: memory grows with √steps, and time by about a third
    """

    @checked
    def __init__(
        self,
        net: nn.Module,
        loss: Loss,
        *,
        steps: Whole = 20,
        hidden: Count = 20,
        layers: Count = 2,
        scale: Positive = 0.1,
        adapt: str = "",
        rematerialise: bool = False,
    ) -> None:
        super().__init__(net, loss, steps=steps, adapt=adapt, rematerialise=rematerialise)
        self.layers = nn.ModuleList(LSTMCell(hidden if i else 2, hidden) for i in range(layers))
        self.head, self.scale = nn.Linear(hidden, 1), scale

    def memory(self) -> Hidden:
        zeros = self.head.weight.new_zeros(self.coordinates, self.head.in_features)
        return tuple((zeros, zeros) for _ in self.layers)

    def update(self, state: Adapted, gradients: Parameters, loss: Tensor) -> Adapted:
        x, hidden = signals(flatten(gradients)), []
        for layer, before in zip(self.layers, state.memory, strict=True):
            hidden.append(layer(x, before))
            x = hidden[-1][0]
        step = self.scale * self.head(x).squeeze(1)
        return Adapted(unflatten(flatten(state.parameters) + step, state.parameters), tuple(hidden))
