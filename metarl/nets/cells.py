"""Convolutional nets that repeat a cell, whose operations `metarl.cell_search` searches for."""

from __future__ import annotations

import re
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from metarl.described import Described
from metarl.nets.conv4 import linear_head
from metarl.nets.normalisation import BatchNorm
from metarl.ranges import Count, checked

OPERATIONS = ("identity", "conv3", "sep3", "dil3", "max3", "avg3")
"""Nothing, a 3×3 convolution, a depthwise separable one, one dilated by 2, and 3×3 maximum and mean pooling."""


class Branch(NamedTuple):
    """An operation on one of the cell's states: 0 and 1 are the previous two cells, 2, 3, … the cell's own blocks."""

    state: int
    operation: str


Block = tuple[Branch, Branch]
"""Two branches, whose outputs are added."""
Cell = tuple[Block, ...]
"""Blocks in order; each takes the outputs of the two previous cells, or of earlier blocks."""


def parse_cell(text: str) -> Cell:
    """The cell that `text` describes, such as "0-conv3+1-max3 2-sep3+0-identity", one word for each block.

    Raises ValueError for anything else, and for a branch from a block that is not an earlier one.
    """
    blocks: list[Block] = []
    for word in text.split():
        found = re.fullmatch(r"(\d+)-(\w+)\+(\d+)-(\w+)", word, re.ASCII)
        if not found or not {found[2], found[4]} <= {*OPERATIONS}:
            raise ValueError(
                f"a cell has the block {word!r}: write STATE-OPERATION+STATE-OPERATION, such as 0-conv3+1-max3, with "
                f"operations among {', '.join(OPERATIONS)}"
            )
        one, other = Branch(int(found[1]), found[2]), Branch(int(found[3]), found[4])
        if max(one.state, other.state) > len(blocks) + 1:
            raise ValueError(f"a cell's block {word!r} is number {len(blocks)}: give states 0 … {len(blocks) + 1}")
        blocks.append((one, other))
    if not blocks:
        raise ValueError("a cell has no blocks: give at least one, such as 0-conv3+1-max3")
    return tuple(blocks)


def format_cell(cell: Cell) -> str:
    """The text of which `parse_cell` makes `cell`."""
    return " ".join(f"{one.state}-{one.operation}+{other.state}-{other.operation}" for one, other in cell)


class CellNet(Described, nn.Module):
    """A 3×3 convolution with stride 2, cells that are followed by 2×2 max pooling, and a linear head.

    Maps images [n, channels, size, size] of one task to logits [n, outputs] or, if `outputs` is None, to features
    [n, filters], which are means over positions. All `cells` have the structure `cell` (see `parse_cell`) and weights
    of their own. A cell's blocks add two operations on the outputs of the previous two cells or of earlier blocks, as
    in progressive neural architecture search (Liu et al. 2018, section 3.1) and Auto-Meta (Kim et al. 2018). The
    outputs of blocks that no other block takes are concatenated, and mapped to `filters` by a 1×1 convolution. The
    first cell gets the first convolution's output twice. Normalisation uses the statistics of the current batch, as in
    Conv4.
    """

    @checked
    def __init__(
        self,
        channels: Count,
        outputs: Count | None,
        *,
        cell: str,
        size: Count = 28,
        filters: Count = 32,
        cells: Count = 3,
    ) -> None:
        super().__init__()
        if (size + 1) // 2 < 2**cells:
            raise ValueError(f"images of size {size} vanish in {cells} cells: give {2 ** (cells + 1) - 1} or more")
        structure = parse_cell(cell)
        self.shape, self.features = (channels, size, size), filters
        self.first = convolution(channels, filters, stride=2)
        self.first_norm = BatchNorm(filters)
        self.cells = nn.ModuleList(CellLayer(structure, filters) for _ in range(cells))
        self.head = linear_head(filters, outputs)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1:] != self.shape:
            raise ValueError(f"the net takes images {self.shape} and got {tuple(x.shape[1:])}: build it for this size")
        last = before = self.first_norm(self.first(x))
        for cell in self.cells:
            new = cell(last, before)
            before, last = functional.max_pool2d(last, 2), functional.max_pool2d(new, 2)
        x = torch.relu(last).mean((2, 3))
        return x if self.head is None else self.head(x)


class CellLayer(nn.Module):
    """One cell: from the outputs [n, filters, s, s] of the last two cells to its own, of the same shape."""

    def __init__(self, cell: Cell, filters: int) -> None:
        super().__init__()
        self.states = [[branch.state for branch in block] for block in cell]
        used = {state for block in self.states for state in block}
        self.ends = [2 + i for i in range(len(cell)) if 2 + i not in used]
        self.operations = nn.ModuleList(Operation(branch.operation, filters) for block in cell for branch in block)
        self.join = convolution(len(self.ends) * filters, filters, kernel=1)
        self.norm = BatchNorm(filters)

    def forward(self, last: Tensor, before: Tensor) -> Tensor:
        states = [last, before]
        for block, (one, other) in enumerate(self.states):
            states.append(self.operations[2 * block](states[one]) + self.operations[2 * block + 1](states[other]))
        return self.norm(self.join(torch.relu(torch.cat([states[end] for end in self.ends], 1))))


class Operation(nn.Module):
    """One of `OPERATIONS`, which keeps the shape. Convolutions are preceded by ReLU and followed by normalisation."""

    def __init__(self, name: str, filters: int) -> None:
        super().__init__()
        self.name = name
        if name == "sep3":
            self.layers = nn.Sequential(
                convolution(filters, filters, groups=filters), convolution(filters, filters, kernel=1)
            )
        elif name in ("conv3", "dil3"):
            self.layers = nn.Sequential(convolution(filters, filters, dilation=2 if name == "dil3" else 1))
        else:
            return
        self.norm = BatchNorm(filters)

    def forward(self, x: Tensor) -> Tensor:
        if self.name == "identity":
            return x
        if self.name == "max3":
            return functional.max_pool2d(x, 3, stride=1, padding=1)
        if self.name == "avg3":
            return functional.avg_pool2d(x, 3, stride=1, padding=1)
        return self.norm(self.layers(torch.relu(x)))


def convolution(
    inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1, dilation: int = 1, groups: int = 1
) -> nn.Conv2d:
    """A convolution without bias, padded so that stride 1 keeps the size, with Glorot-uniform weights."""
    padding = dilation * (kernel // 2)
    layer = nn.Conv2d(
        inputs, outputs, kernel, stride=stride, padding=padding, dilation=dilation, groups=groups, bias=False
    )
    nn.init.xavier_uniform_(layer.weight)
    return layer
