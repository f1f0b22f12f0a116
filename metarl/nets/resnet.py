"""ResNet-12, the residual image net of TADAM and MetaOptNet."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from metarl.described import Described
from metarl.nets.conv4 import linear_head
from metarl.nets.normalisation import BatchNorm
from metarl.ranges import Count, checked


class ResNet12(Described, nn.Module):
    """Four residual blocks and the mean over positions (Oreshkin et al. 2018; Lee et al. 2019, section 4.1).

    Maps images [n, channels, size, size] of one task to logits [n, outputs] or, if `outputs` is None, to features
    [n, `features`]. `filters` are the numbers of filters of the blocks; the defaults are MetaOptNet's, and TADAM has
    (64, 128, 256, 512). Each block halves the size, which must be at least 16. There is no DropBlock. Normalisation
    uses the statistics of the current batch, in training and in test, as in Conv4.
    """

    @checked
    def __init__(
        self, channels: Count, outputs: Count | None = None, *, filters: Sequence[Count] = (64, 160, 320, 640)
    ) -> None:
        super().__init__()
        if not len(filters):
            raise ValueError("filters is empty: give the number of filters of at least one residual block")
        self.channels, self.features = channels, filters[-1]
        self.blocks = nn.Sequential(*(Residual(a, b) for a, b in pairwise((channels, *filters))))
        last = f"blocks.{len(filters) - 1}"
        self.last_norms = (f"{last}.layers.2.norm", f"{last}.shortcut.norm")
        self.head = linear_head(self.features, outputs)

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() != 4 or x.shape[1] != self.channels or min(x.shape[2:]) < 16:
            raise ValueError(
                f"the net takes images ({self.channels}, 16 or more, 16 or more) and got {tuple(x.shape[1:])}: "
                "build it for this number of channels, and enlarge smaller images"
            )
        x = self.blocks(x).mean((2, 3))
        return x if self.head is None else self.head(x)


class Residual(nn.Module):
    """Three normalised 3×3 convolutions with a 1×1 convolution as shortcut, leaky ReLU (0.1), and 2×2 max pooling."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        sizes = (inputs, outputs, outputs, outputs)
        self.layers = nn.ModuleList(Normalised(a, b, kernel=3) for a, b in pairwise(sizes))
        self.shortcut = Normalised(inputs, outputs, kernel=1)

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for i, layer in enumerate(self.layers):
            y = layer(functional.leaky_relu(y, 0.1) if i else y)
        return functional.leaky_relu(functional.max_pool2d(y + self.shortcut(x), 2), 0.1)  # see `Block` of Conv4


class Normalised(nn.Module):
    """A convolution without bias, which keeps the size, and batch normalisation."""

    def __init__(self, inputs: int, outputs: int, *, kernel: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
        self.norm = BatchNorm(outputs)
        nn.init.kaiming_normal_(self.convolution.weight, a=0.1, mode="fan_out", nonlinearity="leaky_relu")

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.convolution(x))
