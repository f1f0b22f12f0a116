"""Batch normalisation by the statistics of the batch it is given, which can be differentiated twice under vmap."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from metarl.described import Described
from metarl.ranges import Count, Positive, checked


class BatchNorm(Described, nn.Module):
    """y = γ·(x − mean)/√(variance + ε) + β for each of `features` channels (Ioffe and Szegedy 2015): [n, features, …].

    Statistics are the batch's, in training and in test; none are kept. torch's own takes, in version 2.13, a wrong
    second derivative under vmap, without a word.
    """

    @checked
    def __init__(self, features: Count, *, eps: Positive = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))

    def forward(self, x: Tensor) -> Tensor:
        batch = (0, *range(2, x.dim()))
        shape = (-1, *(1 for _ in batch[1:]))  # of what is one number a channel
        share = x.shape[1] / x.numel()  # not mean(): its gradient is written out, in a layout unlike that of x
        x = x - share * x.sum(batch, keepdim=True)
        factor = self.weight * (share * x.square().sum(batch) + self.eps).rsqrt()
        return x * factor.view(shape) + self.bias.view(shape)
