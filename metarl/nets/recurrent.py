"""An LSTM cell that works under vmap, for which torch's own has no rule."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from metarl.described import Described
from metarl.ranges import Count, checked


class LSTMCell(Described, nn.Module):
    """An LSTM cell with forget gates (Hochreiter and Schmidhuber 1997; Gers et al. 2000).

    i, f, o = σ(W x + U h + b), g = tanh(…); c' = f⊙c + i⊙g, h' = o⊙tanh c'. The inputs are x [n, inputs] and the
    state (h, c), [n, hidden] each; the output is (h', c'). The gates are in the order i, f, g, o of
    `torch.nn.LSTMCell`, with a single bias, which is initialised to 0.
    """

    @checked
    def __init__(self, inputs: Count, hidden: Count) -> None:
        super().__init__()
        self.size = hidden
        self.inputs, self.hidden = nn.Linear(inputs, 4 * hidden), nn.Linear(hidden, 4 * hidden, bias=False)
        nn.init.zeros_(self.inputs.bias)

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        hidden, cell = state
        i, f, g, o = (self.inputs(x) + self.hidden(hidden)).chunk(4, dim=-1)
        cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
        return o.sigmoid() * cell.tanh(), cell

    def run(self, sequence: Tensor) -> Tensor:
        """The hidden states [length, n, hidden] of a sequence [length, n, inputs], starting from h = c = 0."""
        hidden = cell = sequence.new_zeros(sequence.shape[1], self.size)
        states = []
        for x in sequence:
            hidden, cell = self(x, (hidden, cell))
            states.append(hidden)
        return torch.stack(states)
