"""Meta networks against algorithm 1 with plain autograd, torch's LSTM cell and a whole net of fast weights a query."""

from __future__ import annotations

import math

import byhand
import torch
from few_shot import cloud_episodes
from torch import Tensor, nn
from torch.nn import functional

from metarl.learners.meta_networks import MetaNet
from metarl.learners.update_rule import signals


def meta_net() -> MetaNet:
    torch.manual_seed(0)
    return MetaNet(nn.Identity(), ways=3, features=8, hidden=5, rule=4).double()


def gradients(weights: nn.ParameterList, x: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    hidden = functional.linear(x, weights[0][:, :-1], weights[0][:, -1]).relu()
    logits = functional.linear(hidden, weights[1][:, :-1], weights[1][:, -1])
    return torch.autograd.grad(functional.cross_entropy(logits, y), list(weights))


def augmented(slow: Tensor, adapt: Tensor, x: Tensor, *, last: bool = False) -> Tensor:
    first, second = (functional.linear(x, w[:, :-1], w[:, -1]) for w in (slow, adapt))
    return first + second if last else first.relu() + second.relu()


def by_hand(learner: MetaNet, x: Tensor, y: Tensor, query: Tensor) -> Tensor:
    """The logits [ways] of one query."""
    cell = nn.LSTMCell(2, 4).double()
    own = learner.summary
    cell.weight_ih, cell.weight_hh, cell.bias_ih = own.inputs.weight, own.hidden.weight, own.inputs.bias
    nn.init.zeros_(cell.bias_hh)
    state = (torch.zeros(5 * 9, 4).double(), torch.zeros(5 * 9, 4).double())
    for i in range(len(x)):
        state = cell(signals(gradients(learner.embedding, x[i], y[i])[0].flatten()), state)
    adapt = learner.summary_head(state[0]).view(5, 9)
    slow = learner.embedding[0]
    keys = [augmented(slow, adapt, x[i]) for i in range(len(x))]
    weights = [
        [learner.rule(signals(g.flatten())).view_as(g) for g in gradients(learner.base, x[i], y[i])]
        for i in range(len(x))
    ]
    embedded = augmented(slow, adapt, query)
    shares = torch.stack([functional.cosine_similarity(embedded, key, dim=0) for key in keys]).softmax(0)
    first, second = (sum(share * w[layer] for share, w in zip(shares, weights, strict=True)) for layer in (0, 1))
    return augmented(learner.base[1], second, augmented(learner.base[0], first, query), last=True)


def test_logits_are_those_of_algorithm_1() -> None:
    learner, episode = meta_net(), byhand.task(cloud_episodes(), 0)
    (x, y), query = episode.support[0], episode.query.x
    logits = learner.predict(learner.states(episode.support)[1], query)
    for i in range(len(query)):
        torch.testing.assert_close(logits[i], by_hand(learner, x, y, query[i]), rtol=1e-9, atol=1e-12)


def test_signals_of_gradients() -> None:
    edge = math.exp(-7)
    values = torch.tensor(
        [1.0, -math.exp(-3.5), edge * 1.0001, -edge / 2, 0.0], dtype=torch.float64, requires_grad=True
    )
    found = signals(values)
    expected = [[0.0, 1.0], [-0.5, -1.0], [-1.0, 1.0], [-1.0, -0.5], [-1.0, 0.0]]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=2e-5)
    (slopes,) = torch.autograd.grad(found.sum(), values)
    assert slopes.tolist()[3:] == [math.exp(7)] * 2
