"""Meta-learner LSTM: a net's parameters as the cell state of an LSTM (Ravi and Larochelle 2017)."""

from __future__ import annotations

import math
from typing import Annotated, NamedTuple

import torch
from torch import Tensor, nn

from metarl.core import Loss
from metarl.learners.update_rule import Adapted, Parameters, UpdateRule, signals
from metarl.nets.recurrent import LSTMCell
from metarl.ranges import Count, Range, Whole, checked
from metarl.vectors import flatten, unflatten


class Gates(NamedTuple):
    """The state of the update rule, for each coordinate of the parameters."""

    hidden: tuple[Tensor, Tensor]  # (h, c) of the first layer, [coordinates, hidden] each
    forget: Tensor  # the forget gate f, [coordinates]
    input: Tensor  # the input gate i, [coordinates]


class MetaLSTM(UpdateRule):
    """An update rule with the form of an LSTM's cell state: θ_t = f_t⊙θ_{t−1} − i_t⊙∇L, with a learned θ_0.

    The gates are i_t = σ(w_I·[x_t, θ_{t−1}, i_{t−1}] + b_I) and f_t = σ(w_F·[x_t, θ_{t−1}, f_{t−1}] + b_F) for each
    coordinate, with shared weights (Ravi and Larochelle 2017, eq. 2); both are 0 before the first step. x_t is the
    output of an LSTM layer on the preprocessed gradient and support loss: (log|∇|/p, sgn ∇), or (−1, eᵖ∇) if
    |∇| < e⁻ᵖ, with p = 7. Gradients and losses are constants to the outer loop.

    Initially f is about 0.993 and i about `lr`, which is a small step of gradient descent. The paper takes 12 steps
    with one shot and 5 with five shots, trains on the loss after the last step with Adam 1e-3, and clips
    meta-gradients at 0.25.

    Args:
        steps: number of inner steps
        hidden: hidden units of the LSTM layer
        lr: initial value of the input gate, which acts as the inner learning rate
        adapt: the start of the names of the parameters that are adapted; by default all, and "head" is the last layer
        rematerialise: recompute inner steps in the backward pass: memory grows with √steps, and time by about a third
    """

    @checked
    def __init__(
        self,
        net: nn.Module,
        loss: Loss,
        *,
        steps: Whole = 5,
        hidden: Count = 20,
        lr: Annotated[float, Range(0, 1, above=True, below=True)] = 0.01,
        adapt: str = "",
        rematerialise: bool = False,
    ) -> None:
        super().__init__(net, loss, steps=steps, adapt=adapt, rematerialise=rematerialise)
        self.first = LSTMCell(4, hidden)
        self.forget, self.input = nn.Linear(hidden + 2, 1), nn.Linear(hidden + 2, 1)
        for gate, bias in ((self.forget, 5.0), (self.input, math.log(lr / (1 - lr)))):
            nn.init.uniform_(gate.weight, -0.01, 0.01)
            nn.init.constant_(gate.bias, bias)

    def memory(self) -> Gates:
        zeros = self.forget.weight.new_zeros(self.coordinates, self.first.size)
        return Gates((zeros, zeros), zeros[:, 0], zeros[:, 0])

    def update(self, state: Adapted, gradients: Parameters, loss: Tensor) -> Adapted:
        theta, slope, memory = flatten(state.parameters), flatten(gradients), state.memory
        loss_signals = signals(loss).expand(len(slope), 2)
        hidden = self.first(torch.cat([signals(slope), loss_signals], 1), memory.hidden)
        f, i = (
            gate(torch.cat([hidden[0], theta[:, None], before[:, None]], 1)).squeeze(1).sigmoid()
            for gate, before in ((self.forget, memory.forget), (self.input, memory.input))
        )
        return Adapted(unflatten(f * theta - i * slope, state.parameters), Gates(hidden, f, i))
