"""SNAIL against whole sequences, one for each query, through torch's own convolution and written-out attention."""

from __future__ import annotations

import math

import byhand
import pytest
import torch
from few_shot import cloud_episodes
from torch import Tensor, nn
from torch.nn import functional

from metarl.learners.snail import SNAIL, Attention, Dense


def snail(*, shots: int = 2) -> SNAIL:
    torch.manual_seed(0)
    return SNAIL(nn.Identity(), ways=3, features=8, shots=shots, filters=4, attention=((5, 3), (6, 7))).double()


def convolved(layer: Dense, x: Tensor) -> Tensor:
    kernel = torch.stack([layer.then.weight, layer.now.weight], 2)  # [outputs, inputs, 2]
    padded = functional.pad(x.T[None], (layer.delay, 0))
    f, g = functional.conv1d(padded, kernel, layer.now.bias, dilation=layer.delay)[0].T.chunk(2, 1)
    return torch.cat([x, torch.tanh(f) * torch.sigmoid(g)], 1)


def attended(layer: Attention, x: Tensor) -> Tensor:
    rows = []
    for t in range(len(x)):
        weights = torch.stack([layer.queries(x[t]) @ layer.keys(x[s]) for s in range(t + 1)]) / math.sqrt(
            layer.keys.out_features
        )
        rows.append(sum(w * layer.values(x[s]) for s, w in enumerate(weights.exp() / weights.exp().sum())))
    return torch.cat([x, torch.stack(rows)], 1)


def test_logits_are_those_of_whole_sequences() -> None:
    learner, episode = snail(), byhand.task(cloud_episodes(), 0)
    (x, y), query = episode.support[0], episode.query.x
    logits = learner.predict(learner.states(episode.support)[1], query)
    support = torch.cat([x, functional.one_hot(y, 3).double()], 1)
    for i in range(len(query)):
        sequence = torch.cat([support, functional.pad(query[i : i + 1], (0, 3))])
        for layer in learner.layers:
            sequence = convolved(layer, sequence) if isinstance(layer, Dense) else attended(layer, sequence)
        torch.testing.assert_close(logits[i], learner.head(sequence[-1]))


def test_sizes_are_the_papers_and_the_last_element_sees_the_first() -> None:
    assert [layer.delay for layer in snail().layers if isinstance(layer, Dense)] == [1, 2, 4]  # T = 7
    assert [layer.delay for layer in snail(shots=5).layers if isinstance(layer, Dense)] == [1, 2, 4, 8]  # T = 16
    omniglot = SNAIL(nn.Identity(), ways=5, features=64, shots=1)
    sizes = [(a.keys.out_features, a.values.out_features) for a in omniglot.layers if isinstance(a, Attention)]
    assert sizes == [(64, 32), (256, 128), (512, 256)]
    assert omniglot.head.in_features == 69 + 32 + 3 * 128 + 128 + 3 * 128 + 256
    for shots, length in ((2, 7), (5, 16)):
        x = y = torch.randn(length, 18, dtype=torch.float64, requires_grad=True)
        for layer in snail(shots=shots).layers:
            if isinstance(layer, Dense):
                y = Dense(y.shape[1], 4, delay=layer.delay).double()(y)
        assert (torch.autograd.grad(y[-1].sum(), x)[0][0] != 0).any()


def test_shots_are_checked() -> None:
    with pytest.raises(ValueError, match="shots is 0"):
        snail(shots=0)
