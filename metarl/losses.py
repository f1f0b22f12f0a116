"""Losses and divergences: of supervised tasks, for batches with fields x [n, …] and y [n, …], and of policies."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor
from torch.nn import functional

from metarl.core import Predict
from metarl.rl.losses import clipped_surrogate as clipped_surrogate
from metarl.rl.losses import gaussian_kl as gaussian_kl
from metarl.rl.losses import surrogate as surrogate


class Samples(NamedTuple):
    """Labelled samples: inputs x and targets y, [T, n, …] for a meta-batch, [n, …] for one task."""

    x: Tensor
    y: Tensor


def mse(predict: Predict, batch: Samples) -> Tensor:
    """Mean squared error."""
    outputs = predict(batch.x)
    check_shapes(outputs, batch.y)
    return functional.mse_loss(outputs, batch.y)


def cross_entropy(predict: Predict, batch: Samples) -> Tensor:
    """Mean cross-entropy, in nats, of logits [n, classes] against integer classes y [n]."""
    logits, y = predict(batch.x), batch.y
    if logits.shape[:-1] != y.shape or y.is_floating_point() or not y.numel():
        raise ValueError(
            f"y {list(y.shape)} is of {str(y.dtype).removeprefix('torch.')} and the logits are {list(logits.shape)}: "
            "give the number of a class, as int64, for every row of logits, one at least"
        )
    return functional.cross_entropy(logits, y)


def squared_change(new: Tensor, old: Tensor, batch: Samples) -> Tensor:
    """½·mean (new − old)²: the KL divergence between Gaussians of unit variance around two sets of predictions."""
    check_shapes(new, old)
    return 0.5 * (new - old).square().mean()


def check_shapes(outputs: Tensor, targets: Tensor) -> None:
    """Raise ValueError for targets of another shape than the outputs', which torch would stretch, or of none."""
    if outputs.shape != targets.shape or not targets.numel():
        raise ValueError(
            f"outputs {list(outputs.shape)} are compared with targets {list(targets.shape)}: give both the same shape, "
            "of one number at least"
        )
