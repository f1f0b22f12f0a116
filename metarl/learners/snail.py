"""SNAIL: causal temporal convolutions and attention on the support (Mishra et al. 2018)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from metarl.learners.support import SupportLearner, Ways
from metarl.ranges import Count, checked


class Dense(nn.Module):
    """The paper's DenseBlock, which concatenates tanh(f)·σ(g) to x_t.

    (f, g) is a causal convolution of x_t and x_{t−delay}. The block maps sequences [n, inputs] to sequences
    [n, inputs + filters]. Elements before the first one are 0.
    """

    def __init__(self, inputs: int, filters: int, *, delay: int) -> None:
        super().__init__()
        self.delay, self.outputs = delay, inputs + filters
        self.now, self.then = nn.Linear(inputs, 2 * filters), nn.Linear(inputs, 2 * filters, bias=False)

    def delayed(self, x: Tensor) -> Tensor:
        return functional.pad(x, (0, 0, self.delay, 0))

    def forward(self, x: Tensor) -> Tensor:
        return self.combined(x, self.delayed(x)[: len(x)])

    def following(self, x: Tensor, before: Tensor) -> Tensor:
        """The outputs [m, outputs] for elements x [m, inputs], each following the sequence `before` [n, inputs]."""
        return self.combined(x, self.delayed(before)[len(before)])

    def combined(self, now: Tensor, then: Tensor) -> Tensor:
        f, g = (self.now(now) + self.then(then)).chunk(2, dim=-1)
        return torch.cat([now, f.tanh() * g.sigmoid()], -1)


class Attention(nn.Module):
    """The paper's AttentionBlock: concatenates softmax_{s ≤ t}(q_t·k_s / √d) v_s to x_t, with keys of size d.

    It maps sequences [n, inputs] to [n, inputs + values].
    """

    def __init__(self, inputs: int, *, keys: int, values: int) -> None:
        super().__init__()
        self.outputs = inputs + values
        self.keys, self.queries, self.values = (nn.Linear(inputs, size) for size in (keys, keys, values))

    def forward(self, x: Tensor) -> Tensor:
        scores = self.queries(x) @ self.keys(x).T / math.sqrt(self.keys.out_features)
        later = torch.ones_like(scores, dtype=torch.bool).triu(1)
        return torch.cat([x, scores.masked_fill(later, -math.inf).softmax(1) @ self.values(x)], 1)

    def following(self, x: Tensor, before: Tensor) -> Tensor:
        """As in `Dense`."""
        queries, own = self.queries(x), self.keys(x)
        scores = torch.cat([queries @ self.keys(before).T, (queries * own).sum(1, keepdim=True)], 1)
        weights = (scores / math.sqrt(self.keys.out_features)).softmax(1)
        return torch.cat([x, weights[:, :-1] @ self.values(before) + weights[:, -1:] * self.values(x)], 1)


class SNAIL(SupportLearner):
    """A causal sequence model on (f(x_1), y_1) … (f(x_n), y_n), (f(x), 0), whose last output are the logits of x.

    Attention and temporal convolutions alternate (Mishra et al. 2018, section 3 and appendix A). Between two attention
    layers are ⌈log₂ T⌉ dense blocks with T = ways·shots + 1 and delays 1, 2, 4, …, so that the last element depends on
    all T. Each query is the end of its own sequence; the layers on the support, which do not depend on the query, are
    computed once.

    Args:
        filters: number of filters of each dense block
        attention: sizes (keys, values) of each attention layer
    """

    @checked
    def __init__(
        self,
        encoder: nn.Module,
        *,
        ways: Ways,
        features: Count,
        shots: Count,
        filters: Count = 128,
        attention: Sequence[tuple[Count, Count]] = ((64, 32), (256, 128), (512, 256)),
    ) -> None:
        super().__init__(encoder, ways=ways)
        if not len(attention):
            raise ValueError("attention is empty: give the sizes (keys, values) of at least one attention layer")
        width, layers = features + ways, nn.ModuleList()
        for i, (keys, values) in enumerate(attention):
            for power in range(math.ceil(math.log2(ways * shots + 1)) if i else 0):
                layers.append(Dense(width, filters, delay=2**power))
                width += filters
            layers.append(Attention(width, keys=keys, values=values))
            width += values
        self.layers, self.head = layers, nn.Linear(width, ways)

    def read(self, features: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
        """The inputs [n, inputs] of each layer on the support."""
        inputs = [torch.cat([features, labels], 1)]
        for layer in self.layers[:-1]:
            inputs.append(layer(inputs[-1]))
        return tuple(inputs)

    def logits(self, state: tuple[Tensor, ...], features: Tensor) -> Tensor:
        x = functional.pad(features, (0, self.ways))
        for layer, before in zip(cast("list[Dense | Attention]", list(self.layers)), state, strict=True):
            x = layer.following(x, before)
        return self.head(x)
