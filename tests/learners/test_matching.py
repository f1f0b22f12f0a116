"""Matching networks: attention worked by hand, full-context embeddings against torch's LSTM."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from metarl.learners.matching import FullContext, MatchingNet
from metarl.losses import Samples
from metarl.nets.recurrent import LSTMCell


def torchs(cell: LSTMCell) -> nn.LSTMCell:
    twin = nn.LSTMCell(cell.inputs.in_features, cell.size).double()
    with torch.no_grad():
        twin.weight_ih.copy_(cell.inputs.weight)
        twin.weight_hh.copy_(cell.hidden.weight)
        twin.bias_ih.copy_(cell.inputs.bias)
        twin.bias_hh.zero_()
    return twin


def test_attention_is_the_softmax_of_cosines() -> None:
    learner = MatchingNet(nn.Identity(), ways=2)
    support = Samples(torch.tensor([[2.0, 0.0], [0.0, 5.0], [-3.0, 0.0]]), torch.tensor([0, 1, 1]))
    found = learner.predict(learner.step((), support, 0), torch.tensor([[7.0, 0.0]])).exp()
    e, one, inverse = math.e, 1.0, 1 / math.e  # cosines 1, 0, −1
    expected = torch.tensor([[e, one + inverse]]) / (e + one + inverse)
    torch.testing.assert_close(found, expected)


def full_context(reads: int) -> FullContext:
    torch.manual_seed(0)
    context = FullContext(3, reads=reads).double()
    with torch.no_grad():
        for parameter in context.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return context


def test_the_support_runs_through_an_lstm_each_way() -> None:
    context, x = full_context(1), torch.randn(5, 3).double()

    def run(cell: LSTMCell, order: list[int]) -> dict[int, Tensor]:
        state = (torch.zeros(3).double(), torch.zeros(3).double())
        seen = {}
        for i in order:
            state = torchs(cell)(x[i], state)
            seen[i] = state[0]
        return seen

    there, back = run(context.forwards, [0, 1, 2, 3, 4]), run(context.backwards, [4, 3, 2, 1, 0])
    expected = torch.stack([there[i] + back[i] + x[i] for i in range(5)])
    torch.testing.assert_close(context.support(x), expected)


@pytest.mark.parametrize("reads", [1, 3])
def test_a_query_attends_to_the_support(reads: int) -> None:
    context, support, query = full_context(reads), torch.randn(5, 3).double(), torch.randn(3).double()
    cell, state = torchs(context.attending), (torch.zeros(3).double(), torch.zeros(3).double())
    for _ in range(reads):
        weights = torch.tensor([math.exp(float((state[0] @ g).detach())) for g in support]).double()
        read = sum((w * g for w, g in zip(weights / weights.sum(), support, strict=True)), torch.zeros(3).double())
        hidden, memory = cell(torch.cat([query, read]), state)
        state = (hidden + query, memory)
    torch.testing.assert_close(context.query(torch.stack([query, -query]), support)[0], state[0])


def test_cosines_are_between_embeddings_in_context() -> None:
    context = full_context(2)
    plain, learner = (MatchingNet(nn.Identity(), ways=2, full_context=c).double() for c in (None, context))
    x, y, query = torch.randn(4, 3).double(), torch.tensor([0, 1, 1, 0]), torch.randn(5, 3).double()
    g = context.support(x)
    expected = plain.predict(plain.step((), Samples(g, y), 0), context.query(query, g))
    torch.testing.assert_close(learner.predict(learner.step((), Samples(x, y), 0), query), expected)


def test_a_query_reads_at_least_once() -> None:
    with pytest.raises(ValueError, match="reads is 0"):
        FullContext(3, reads=0)
