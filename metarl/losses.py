"""Losses and divergences, of supervised tasks, whose batches have fields x [n, …] and y [n, …], and of policies."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor
from torch.nn import functional

from metarl.core import Predict
from metarl.rl.losses import clipped_surrogate as clipped_surrogate
from metarl.rl.losses import mean_kl as mean_kl
from metarl.rl.losses import surrogate as surrogate


class Samples(NamedTuple):
    """Labelled samples: inputs x and targets y, [T, n, …] for a meta-batch, [n, …] for one task."""

    x: Tensor
    y: Tensor


def mse(predict: Predict, batch: Samples) -> Tensor:
    """The mean squared error of the predictions, whose shape must be that of y."""
    outputs = predict(batch.x)
    check_shapes(outputs, batch.y)
    return functional.mse_loss(outputs, batch.y)


def cross_entropy(predict: Predict, batch: Samples) -> Tensor:
    """The mean cross-entropy, in nats, of logits [n, classes] and integer classes y [n]."""
    logits, y = predict(batch.x), batch.y
    if logits.shape[:-1] != y.shape or y.is_floating_point() or not y.numel():
        raise ValueError(
            f"y is {str(y.dtype).removeprefix('torch.')} {list(y.shape)} and the logits are {list(logits.shape)}: give "
            "at least one row of logits, and the index of a class, int64, for each row"
        )
    return functional.cross_entropy(logits, y)


def squared_change(new: Tensor, old: Tensor, batch: Samples) -> Tensor:
    """½·mean (new − old)², the KL divergence of Gaussians with unit variance and these two sets of means."""
    check_shapes(new, old)
    return 0.5 * (new - old).square().mean()


def check_shapes(outputs: Tensor, targets: Tensor) -> None:
    """Raise ValueError for empty targets and for targets of a shape that torch would have to broadcast."""
    if outputs.shape != targets.shape or not targets.numel():
        raise ValueError(
            f"outputs {list(outputs.shape)} are compared with targets {list(targets.shape)}: give both the same shape, "
            "and not empty"
        )
