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
    """The state of the controller and the memory after an element of m sequences. Every leaf is [m, …]."""

    hidden: Tensor  # [m, controller]
    cell: Tensor  # [m, controller]
    rows: Tensor  # M, [m, slots, width]
    reading: Tensor  # w^r, [m, heads, slots]
    usage: Tensor  # w^u, [m, slots]
    read: Tensor  # r, [m, heads·width]
    label: Tensor  # of the next element, one-hot or 0, [m, ways]


class MANN(SupportLearner):
    """An LSTM with an external memory, to which it writes the support, and which it reads to classify the query.

    The inputs are (f(x_1), y_1), …, (f(x_n), y_n), and then (f(x), 0) for each query, starting from the memory after
    the support. In the paper every element is predicted, and its label follows with the next element; here, as with all
    few-shot learners, only the query is predicted.

    For each element (section 3.2) and each head, the controller outputs a key k and a gate α, and:

    - w^w = σ(α) w^r_{t−1} + (1 − σ(α)) w^lu (eq. 7), with w^lu one-hot at the least-used row; head h uses the h-th
      least-used row (eq. 6);
    - these rows are set to 0, and M = M + Σ w^w k (eq. 8);
    - w^r = softmax(β cos(k, M)) (eq. 2 and 3), r = w^r M (eq. 4), w^u = decay·w^u + Σ w^r + Σ w^w (eq. 5).

    Logits are linear in (h, r), and r is an input of the next element. β, a learned number for each head, is the key
    strength of the neural Turing machine (Graves et al. 2014, eq. 5). The paper omits it; with 128 rows, cosines
    between −1 and 1 would then give nearly equal weights to all rows.

    Args:
        controller: hidden units of the LSTM
        slots: number of rows of the memory
        width: size of a row and of a key
        heads: number of heads, which write and read
        decay: decay rate of the usage of rows
        strength: initial value of the key strength β
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
            raise ValueError(f"{heads} heads write to {slots} slots: give at least as many slots as heads")
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
        """The state after m further elements x [m, features], one for each sequence."""
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
    """x [..., width] scaled to length 1, or less for x close to 0."""
    return x * (x.square().sum(-1, keepdim=True) + 1e-6).rsqrt()
