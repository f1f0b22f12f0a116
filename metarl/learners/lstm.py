"""LSTMs that read the support and then predict, for regression and classification (Hochreiter et al. 2001)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from metarl.core import Learner, Loss
from metarl.learners.support import SupportLearner, Ways
from metarl.losses import Samples
from metarl.nets.recurrent import LSTMCell
from metarl.ranges import Count, checked

Hidden = tuple[Tensor, Tensor]  # (h, c), [1, hidden] each


class LSTMRegressor(Learner):
    """An LSTM whose hidden state after reading the support determines the function that it computes on the query.

    The inputs are (x_1, y_1, 1), …, (x_n, y_n, 1) and then (x, 0, 0) for each query, starting from the state after the
    support; the prediction is linear in the hidden state after the query. In Hochreiter, Younger and Conwell (2001),
    section 2, every element of the sequence is predicted, and its target follows with the next element; here, as in
    other few-shot learners, only the query is predicted. The state is (h, c), which is 0 before the first step; a
    further step continues the sequence with its batch. Predictions depend on the order of the support.

    Args:
        inputs: size of an input x
        outputs: size of a target y
        hidden: number of hidden units of the LSTM
    """

    steps = 1
    gradient_steps = False

    @checked
    def __init__(self, loss: Loss, *, inputs: Count = 1, outputs: Count = 1, hidden: Count = 128) -> None:
        super().__init__()
        self.loss, self.outputs = loss, outputs
        self.cell, self.head = LSTMCell(inputs + outputs + 1, hidden), nn.Linear(hidden, outputs)

    def init(self) -> Hidden:
        return initial_state(self.cell, self.head.weight)

    def step(self, state: Hidden, batch: Samples, k: int) -> Hidden:
        return read(self.cell, state, torch.cat([batch.x, batch.y, torch.ones_like(batch.y[:, :1])], 1))

    def predict(self, state: Hidden, x: Tensor) -> Tensor:
        return self.head(hidden_after(self.cell, state, functional.pad(x, (0, self.outputs + 1))))


class LSTMClassifier(SupportLearner):
    """An LSTM that reads the support and then classifies the query, a baseline of Santoro et al. (2016).

    The inputs are (f(x_1), y_1), …, (f(x_n), y_n) with one-hot labels, and then (f(x), 0) for each query, starting from
    the state after the support; the logits are linear in the hidden state after the query. In Santoro et al. (2016),
    section 4, every element is predicted, and its label follows with the next element; here only the query is
    predicted. Predictions depend on the order of the support.

    Args:
        hidden: number of hidden units of the LSTM
    """

    @checked
    def __init__(self, encoder: nn.Module, *, ways: Ways, features: Count, hidden: Count = 200) -> None:
        super().__init__(encoder, ways=ways)
        self.cell, self.head = LSTMCell(features + ways, hidden), nn.Linear(hidden, ways)

    def read(self, features: Tensor, labels: Tensor) -> Hidden:
        return read(self.cell, initial_state(self.cell, features), torch.cat([features, labels], 1))

    def logits(self, state: Hidden, features: Tensor) -> Tensor:
        return self.head(hidden_after(self.cell, state, functional.pad(features, (0, self.ways))))


def initial_state(cell: LSTMCell, like: Tensor) -> Hidden:
    """The state (h, c) = 0 of one sequence, [1, hidden] each, with the dtype and on the device of `like`."""
    return like.new_zeros(1, cell.size), like.new_zeros(1, cell.size)


def read(cell: LSTMCell, state: Hidden, sequence: Tensor) -> Hidden:
    """The state after the elements of `sequence` [n, inputs], one after the other."""
    for element in sequence:
        state = cell(element[None], state)
    return state


def hidden_after(cell: LSTMCell, state: Hidden, elements: Tensor) -> Tensor:
    """The hidden states [m, hidden] after `state` and one of the `elements` [m, inputs] each."""
    return cell(elements, (state[0].expand(len(elements), -1), state[1].expand(len(elements), -1)))[0]
