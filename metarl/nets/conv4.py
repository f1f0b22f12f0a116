"""Conv4, the MAML paper's convolutional image classifier."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from metarl.described import Described
from metarl.nets.normalisation import BatchNorm
from metarl.ranges import Count, checked


class Conv4(Described, nn.Module):
    """Four blocks of 3×3 convolution, batch normalisation and ReLU, and a linear head (Finn et al. 2017, section 5.2).

    Maps images [n, channels, size, size] of one task to logits [n, outputs] or, if `outputs` is None, to the features
    [n, `features`] before the head. Without `pool` this is the paper's net for Omniglot: convolutions have stride 2,
    and features are averaged over positions. With `pool` it is the net for miniImageNet, where the paper has 32
    filters: convolutions have stride 1 and are followed by 2×2 max pooling, and features keep their positions.
    Convolutions have no bias, because normalisation would remove it.

    Normalisation uses the statistics of the current batch, in training and in test, so that a prediction depends on the
    other images of the query (it is transductive). Initial weights are Glorot-uniform, scales 1, shifts and biases 0.

    Under vmap over tasks, torch computes grouped convolutions. On 2 cores, with 8 tasks, 5 inner steps and second-order
    gradients, parts of 4 tasks (`chunk=4`), one on each thread, are fastest: an update takes 0.26 s, against 0.39 s for
    all tasks at once, 0.34 s for one task at a time, and 0.39 s for a plain loop without vmap.

    Raises ValueError for images of another size and for a size that is too small for the pooling.
    """

    @checked
    def __init__(
        self,
        channels: Count,
        outputs: Count | None,
        *,
        size: Count = 28,
        filters: Count = 64,
        pool: bool = False,
    ) -> None:
        super().__init__()
        if pool and size < 16:
            raise ValueError(f"images of size {size} vanish in four poolings: give 16 or more, or pool=False")
        self.shape, self.pool = (channels, size, size), pool
        self.blocks = nn.ModuleList(Block(filters if i else channels, filters, pool=pool) for i in range(4))
        self.features = filters * (size // 16) ** 2 if pool else filters
        self.last_norms = ("blocks.3.norm",)  # the normalisations whose scales and shifts set those of the features
        self.head = linear_head(self.features, outputs)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1:] != self.shape:
            raise ValueError(f"the net takes images {self.shape} and got {tuple(x.shape[1:])}: build it for this size")
        for block in self.blocks:
            x = block(x)
        x = x.flatten(1) if self.pool else x.mean((2, 3))
        return x if self.head is None else self.head(x)


def linear_head(features: int, outputs: int | None) -> nn.Linear | None:
    """A classifier's last layer, with Glorot-uniform weights and biases 0, or None if `outputs` is None."""
    if outputs is None:
        return None
    layer = nn.Linear(features, outputs)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


class FeatureMaps(Described, nn.Module):
    """Conv4 without averaging and head, and without downsampling in the last block: a net for relation networks.

    Maps images [n, channels, size, size] to feature maps [n, filters, `side`, `side`], in which `side` is 4 for images
    of size 28 and 10 for images of size 84 with `pool`.
    """

    @checked
    def __init__(self, channels: Count, *, size: Count = 28, filters: Count = 64, pool: bool = False) -> None:
        super().__init__()
        sizes = [size]
        for _ in range(3):
            sizes.append(sizes[-1] // 2 if pool else (sizes[-1] + 1) // 2)
        if not sizes[-1]:
            raise ValueError(f"images of size {size} vanish in three poolings: give 8 or more, or pool=False")
        self.shape, self.filters, self.side = (channels, size, size), filters, sizes[-1]
        self.last_norms = ("blocks.3.norm",)
        self.blocks = nn.Sequential(
            *(Block(filters if i else channels, filters, pool=pool and i < 3, halve=i < 3) for i in range(4))
        )

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1:] != self.shape:
            raise ValueError(f"the net takes images {self.shape} and got {tuple(x.shape[1:])}: build it for this size")
        return self.blocks(x)


class Block(Described, nn.Module):
    """A 3×3 convolution with padding 1, batch normalisation and ReLU, which halves the size of the image.

    It does so by stride 2 or, with `pool`, by 2×2 max pooling. With `halve=False` the size stays.
    """

    @checked
    def __init__(self, inputs: Count, outputs: Count, *, pool: bool, halve: bool = True) -> None:
        super().__init__()
        self.pool = pool
        stride = 2 if halve and not pool else 1
        self.convolution = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.norm = BatchNorm(outputs)
        nn.init.xavier_uniform_(self.convolution.weight)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.convolution(x))
        return torch.relu(functional.max_pool2d(x, 2) if self.pool else x)  # pooled first, as ReLU is monotonic: faster
