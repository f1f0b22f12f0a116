"""The base class of learners without inner steps: metric-based methods, solved heads and black-box methods."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from metarl.core import Learner
from metarl.losses import Samples, cross_entropy
from metarl.ranges import Range, checked

Ways = Annotated[int, Range(2)]
"""The number of classes of a task."""


class SupportLearner(Learner):
    """A classifier whose single step computes a state from the embedded support, without gradients.

    `encoder` embeds the inputs of one task, [n, …] to features [n, d], separately for support and query. Support labels
    are integers 0 … ways − 1 in any order. The state is a tuple of tensors; before the step it is empty, and all logits
    are 0. A further step replaces the state by that of its own support.

    A subclass defines `read`, which computes the state, and `logits`, which computes predictions from it. `ways` can be
    changed after training if no parameter depends on it. The default loss is the cross-entropy.
    """

    steps = 1
    gradient_steps = False
    loss = staticmethod(cross_entropy)

    @checked
    def __init__(self, encoder: nn.Module, *, ways: Ways) -> None:
        super().__init__()
        self.encoder, self.ways = encoder, ways

    @abstractmethod
    def read(self, features: Tensor, labels: Tensor) -> tuple[Any, ...]:
        """The state, computed from features [n, …] and one-hot labels [n, ways] of the support."""

    @abstractmethod
    def logits(self, state: Any, features: Tensor) -> Tensor:
        """The logits [m, ways] of a query with features [m, …]."""

    def init(self) -> tuple[Any, ...]:
        return ()

    def step(self, state: tuple[Any, ...], batch: Samples, k: int) -> tuple[Any, ...]:
        features = self.encoder(batch.x)
        return self.read(features, one_hot(batch.y, like=features.new_empty(len(features), self.ways)))

    def predict(self, state: tuple[Any, ...], x: Tensor) -> Tensor:
        return self.logits(state, self.encoder(x)) if state else x.new_zeros(len(x), self.ways)


def class_means(features: Tensor, labels: Tensor) -> Tensor:
    """The mean features of each class, [ways, d], from features [n, d] and one-hot labels [n, ways]; 0 if empty."""
    return (labels.T @ features) / labels.sum(0).clamp(min=1)[:, None]


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """‖a_i − b_j‖², [m, n], for rows a [m, d] and b [n, d], computed by one matrix product."""
    return a.square().sum(1)[:, None] + b.square().sum(1) - 2 * a @ b.T


def one_hot(labels: Tensor, *, like: Tensor) -> Tensor:
    """One-hot labels with the shape and type of logits [n, ways], from labels [n].

    Unlike torch's `one_hot`, this raises an error under vmap for labels that are out of range.
    """
    return torch.zeros_like(like).scatter(1, labels[:, None], 1.0)
