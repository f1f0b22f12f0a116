"""Memory-augmented neural network with least-recently-used access (Santoro et al. 2016)."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from metarl.learners.support import SupportLearner, Ways
from metarl.nets.recurrent import LSTMCell
from metarl.ranges import Count, Positive, Range, checked


class Memory(NamedTuple):
    """The controller and its memory after an element, of m sequences; every leaf is [m, …]."""

    hidden: Tensor  # [m, controller]
    cell: Tensor  # [m, controller]
    rows: Tensor  # M, [m, slots, width]
    reading: Tensor  # w^r, [m, heads, slots]
    usage: Tensor  # w^u, [m, slots]
    read: Tensor  # r, [m, heads·width]
    label: Tensor  # of the next element, one-hot or 0, [m, ways]


class MANN(SupportLearner):
    """An LSTM writes the support, image after image, to an external memory, and reads it for the query.

    Inputs are (f(x_1), y_1), …, (f(x_n), y_n), and the query's (f(x), 0), each from the memory after the support. The
    paper's labels come one element late, as it predicts every element before it may see the label; here, as for all
    few-shot learners, the query alone is predicted.

    Each element (section 3.2), for each of `heads` heads with its key k and gate α, both from the controller:
    w^w = σ(α) w^r_{t−1} + (1 − σ(α)) w^lu (eq. 7), w^lu the one-hot of the row least used so far: the h-th least for
    head h, so that heads together have eq. 6. Those rows are emptied, then M = M + Σ w^w k (eq. 8);
    w^r = softmax(β cos(k, M)) (eq. 2 and 3), r = w^r M (eq. 4), w^u = `decay`·w^u + Σ w^r + Σ w^w (eq. 5). Logits are
    linear in (h, r), and r is an input to the next element. β, a learned number of each head that starts at `strength`,
    is the key strength of the neural Turing machine (Graves et al. 2014, eq. 5). The paper leaves it out: among 128
    rows, cosines of −1 … 1 then read every row nearly alike.
    """

    @checked
    def __init__(
        self,
        encoder: nn.Module,
        *,
        ways: Ways,
        features: Count,
        controller: Count = 200,
        slots: Count = 128,
        width: Count = 40,
        heads: Count = 4,
        decay: Annotated[float, Range(0, 1, below=True)] = 0.95,
        strength: Positive = 10.0,
    ) -> None:
        super().__init__(encoder, ways=ways)
        if slots < heads:
            raise ValueError(f"{heads} heads write to {slots} slots: give at least as many slots")
        self.slots, self.width, self.heads, self.decay = slots, width, heads, decay
        self.controller = LSTMCell(features + ways + heads * width, controller)
        self.keys, self.gates = nn.Linear(controller, heads * width), nn.Linear(controller, heads)
        self.strengths = nn.Parameter(torch.full((heads, 1), float(strength)))
        self.head = nn.Linear(controller + heads * width, ways)

    def read(self, features: Tensor, labels: Tensor) -> Memory:
        sizes = {"hidden": (self.controller.size,), "cell": (self.controller.size,), "rows": (self.slots, self.width),
                 "reading": (self.heads, self.slots), "usage": (self.slots,), "read": (self.heads * self.width,),
                 "label": (self.ways,)}  # fmt: skip
        state = Memory(**{name: features.new_zeros(1, *size) for name, size in sizes.items()})
        for x, y in zip(features, labels, strict=True):
            state = self.element(state._replace(label=y[None]), x[None])
        return state._replace(label=torch.zeros_like(state.label))

    def logits(self, state: Memory, features: Tensor) -> Tensor:
        state = self.element(Memory(*(part.expand(len(features), *part.shape[1:]) for part in state)), features)
        return self.head(torch.cat([state.hidden, state.read], 1))

    def element(self, state: Memory, x: Tensor) -> Memory:
        """The memory after m elements x [m, features], each of a sequence of its own."""
        inputs = torch.cat([x, state.label, state.read], 1)
        hidden, cell = self.controller(inputs, (state.hidden, state.cell))
        keys = self.keys(hidden).tanh().unflatten(1, (self.heads, self.width))
        gates = self.gates(hidden).sigmoid()[:, :, None]
        least = functional.one_hot(state.usage.topk(self.heads, largest=False).indices, self.slots).to(x.dtype)
        writing = gates * state.reading + (1 - gates) * least
        kept = 1 - least.sum(1)
        rows = kept[:, :, None] * state.rows + writing.mT @ keys
        reading = (self.strengths * directions(keys) @ directions(rows).mT).softmax(2)
        usage = self.decay * state.usage + reading.sum(1) + writing.sum(1)
        return Memory(hidden, cell, rows, reading, usage, (reading @ rows).flatten(1), state.label)


def directions(x: Tensor) -> Tensor:
    """x [..., width] at length 1, or shorter than that where it is about 0."""
    return x * (x.square().sum(-1, keepdim=True) + 1e-6).rsqrt()
