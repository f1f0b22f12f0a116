"""A learned optimiser: an LSTM that turns gradients into steps, coordinate by coordinate (Andrychowicz et al. 2016)."""

from __future__ import annotations

from torch import Tensor, nn

from metarl.core import Loss
from metarl.learners.update_rule import Adapted, Parameters, UpdateRule, signals
from metarl.nets.recurrent import LSTMCell
from metarl.ranges import Count, Positive, Whole, checked
from metarl.vectors import flatten, unflatten

Hidden = tuple[tuple[Tensor, Tensor], ...]  # (h, c) of each layer, [coordinates, hidden] each


class LearnedOptimizer(UpdateRule):
    """θ ← θ + g, (g, h) ← m(∇L_support(θ), h) with a learned m (Andrychowicz et al. 2016, eq. 3).

    m is an LSTM of `layers` layers of `hidden` units and a linear layer, times `scale`. All coordinates of θ share its
    weights, and each has its own state h, 0 at the start (section 2.1). It sees a gradient as (log|∇|/p, sgn ∇), or as
    (−1, eᵖ∇) where |∇| < e⁻ᵖ, with p = 7 (appendix A). As in the paper, gradients are constants to the outer loop.

    Train with the objective `multi_step(loss, (1.0,) * steps)`: the paper's Σ_t w_t f(θ_t) with w_t = 1. Two things
    differ from the paper: the start of θ is a meta-parameter (the paper draws it anew), and f is the loss on the query, not on the data that
    the gradients are of. Memory follows `steps`: the paper unrolls 20 at a time of 100.
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
    ) -> None:
        super().__init__(net, loss, steps=steps, adapt=adapt)
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
