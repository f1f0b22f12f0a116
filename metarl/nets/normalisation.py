"""Batch normalisation without running statistics that can be differentiated twice under vmap."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from metarl.described import Described
from metarl.ranges import Count, Positive, checked


class BatchNorm(Described, nn.Module):
    """Batch normalisation of inputs [n, features, …]: y = γ·(x − mean)/√(variance + ε) + β (Ioffe and Szegedy 2015).

    Statistics are those of the current batch, in training and in test. The second derivative of torch 2.13's own batch
    normalisation is wrong under vmap.
    """

    @checked
    def __init__(self, features: Count, *, eps: Positive = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))

    def forward(self, x: Tensor) -> Tensor:
        batch = (0, *range(2, x.dim()))
        shape = (-1, *(1 for _ in batch[1:]))  # of the parameters and statistics, one number a channel
        weight = x.shape[1] / x.numel()  # of each number in a mean; mean() would have a gradient in another layout
        x = x - weight * x.sum(batch, keepdim=True)
        factor = self.weight * (weight * x.square().sum(batch) + self.eps).rsqrt()
        return x * factor.view(shape) + self.bias.view(shape)
