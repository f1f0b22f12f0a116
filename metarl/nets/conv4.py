"""Conv4, the MAML paper's convolutional image classifier."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from metarl.described import Described
from metarl.nets.normalisation import BatchNorm
from metarl.ranges import Count, checked


class Conv4(Described, nn.Module):
    """Four modules of 3×3 convolution, batch normalisation and ReLU, then linear (Finn et al. 2017, section 5.2).

    Images [n, channels, size, size] of one task to logits [n, outputs], or, where `outputs` is None, to the features
    [n, `features`] that the linear layer would take. Without `pool`, Omniglot's form: convolutions
    of stride 2, and the mean over positions. With `pool`, miniImageNet's: stride 1, 2×2 max pooling, every position;
    the paper has 32 filters there. Convolutions have no bias, which normalisation would take away again.

    Normalisation uses the statistics of the batch it is given, in training and in test: a prediction depends on the
    other images of its query (transductive). Weights start Glorot-uniform, scales at 1, shifts and biases at 0.

    Under vmap over tasks its convolutions are grouped ones. Measured on 2 cores (8 tasks, 5 inner steps, second order)
    that is fastest in parts of 4 tasks (`chunk=4`), each on a thread: 0.26 s, against 0.39 s all at once, 0.34 s a task
    at a time, 0.39 s in a plain loop; unfolding into a batched product took 1.3 times as long as all at once.

    Raises ValueError for images of another size, and for a size too small to pool.
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
        self.last_norms = ("blocks.3.norm",)  # whose scales and shifts are the features' own
        self.head = head(self.features, outputs)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1:] != self.shape:
            raise ValueError(f"the net takes images {self.shape} and got {tuple(x.shape[1:])}: build it for this size")
        for block in self.blocks:
            x = block(x)
        x = x.flatten(1) if self.pool else x.mean((2, 3))
        return x if self.head is None else self.head(x)


def head(features: int, outputs: int | None) -> nn.Linear | None:
    """A classifier's last layer, Glorot-uniform and its biases 0; none where `outputs` is None."""
    if outputs is None:
        return None
    layer = nn.Linear(features, outputs)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


class Maps(Described, nn.Module):
    """Conv4's modules without its end, and the last of them keeps the size: features [n, filters, `side`, `side`].

    `side` is 4 for images of 28 and, pooled, 10 for 84: what a learned comparison of positions takes.
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
    """Convolution padded by 1, normalisation, ReLU and, with `pool`, 2×2 max pooling instead of stride 2.

    With `halve=False` neither: the size stays.
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
        x = torch.relu(self.norm(self.convolution(x)))
        return functional.max_pool2d(x, 2) if self.pool else x
