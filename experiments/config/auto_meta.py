"""The learner of Auto-Meta: MAML with a net of repeated cells, whose structure was searched for (Kim et al. 2018)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from metarl.core import Loss
from metarl.learners.gradient import GradientLearner
from metarl.nets.cells import CellNet
from metarl.nets.conv4 import Conv4
from metarl.ranges import Count, Positive, Whole, checked

FOUND = "0-dil3+1-conv3 2-conv3+2-conv3 2-conv3+3-conv3"  # by the search of `metarl.experiments.auto_meta`


@checked
def cell_learner(
    encoder: nn.Module, loss: Loss, outputs: Count, *, cell: str = FOUND, filters: Count = 32, cells: Count = 3,
    steps: Whole = 3, lr: Sequence[Positive] = (0.1,), first_order: bool = True,
) -> GradientLearner:  # fmt: skip
    """MAML with a net of repeated cells, in place of Conv4 (Kim et al. 2018).

    Args:
        cell: structure of the cell, one word for each block, such as "0-conv3+1-max3 2-sep3+0-identity"
        filters: number of filters of each convolution
        cells: number of cells, each of which halves the size of the image
        steps: number of inner steps in training
        lr: inner learning rate, or one for each step; the last holds for further steps
        first_order: omit the second derivatives, as in first-order MAML
    """
    if not isinstance(encoder, Conv4):
        raise ValueError("auto-meta has a net of its own, in place of Conv4: train it with --task.architecture conv4")
    channels, size, _ = encoder.shape
    net = CellNet(channels, outputs, cell=cell, size=size, filters=filters, cells=cells)
    return GradientLearner(net, loss, steps=steps, lr=lr, first_order=first_order)
