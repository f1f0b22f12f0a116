"""Losses and divergences of supervised tasks, for batches with fields x [n, …] and y [n, …]."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor
from torch.nn import functional

from metarl.core import Predict


class Samples(NamedTuple):
    """Labelled samples: inputs x and targets y, [T, n, …] for a meta-batch, [n, …] for one task."""

    x: Tensor
    y: Tensor


def mse(predict: Predict, batch: Samples) -> Tensor:
    """Mean squared error."""
    return functional.mse_loss(predict(batch.x), batch.y)


def cross_entropy(predict: Predict, batch: Samples) -> Tensor:
    """Mean cross-entropy, in nats, of logits [n, classes] against integer classes y [n]."""
    return functional.cross_entropy(predict(batch.x), batch.y)


def squared_change(new: Tensor, old: Tensor, batch: Samples) -> Tensor:
    """½·mean (new − old)²: the KL divergence between Gaussians of unit variance around two sets of predictions."""
    return 0.5 * (new - old).square().mean()
