"""The fully connected image classifier of the MAML paper."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from metarl.described import Described
from metarl.nets.conv4 import linear_head
from metarl.nets.normalisation import BatchNorm
from metarl.ranges import Count, checked


class Dense(Described, nn.Module):
    """Fully connected layers with batch normalisation and ReLU, and a linear head (Finn et al. 2017, section 5.2).

    Maps images [n, channels, size, size] of one task to logits [n, outputs] or, if `outputs` is None, to the features
    [n, `features`] of the last hidden layer. Normalisation, biases and initial weights are as in Conv4.
    """

    @checked
    def __init__(
        self, channels: Count, outputs: Count | None, *, size: Count = 28, hidden: Sequence[Count] = (256, 128, 64, 64)
    ) -> None:
        super().__init__()
        if not len(hidden):
            raise ValueError("hidden is empty: give the size of at least one hidden layer")
        self.shape, self.features = (channels, size, size), hidden[-1]
        layers = [nn.Linear(a, b, bias=False) for a, b in pairwise((channels * size * size, *hidden))]
        for layer in layers:
            nn.init.xavier_uniform_(layer.weight)
        self.layers, self.norms = nn.ModuleList(layers), nn.ModuleList(map(BatchNorm, hidden))
        self.last_norms = (f"norms.{len(hidden) - 1}",)
        self.head = linear_head(self.features, outputs)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1:] != self.shape:
            raise ValueError(f"the net takes images {self.shape} and got {tuple(x.shape[1:])}: build it for this size")
        x = x.flatten(1)
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = torch.relu(norm(layer(x)))
        return x if self.head is None else self.head(x)
