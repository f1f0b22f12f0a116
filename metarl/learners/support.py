"""Learners that read the whole support at once: the common part of metric-based methods and solved heads."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from metarl.core import Learner
from metarl.losses import Samples, cross_entropy
from metarl.ranges import Range, checked

Ways = Annotated[int, Range(2)]
"""How many classes there are to tell apart."""


class SupportLearner(Learner):
    """A classifier whose one step turns the embedded support into its state, without gradient steps.

    `encoder` embeds the inputs of one task, [n, …] to features [n, d], support and query each by itself. Support labels
    are integers 0 … ways − 1 in any order. The state is a tuple of tensors, empty before there is a support: all
    classes then get logit 0. A further step starts anew from its own support.

    To add a method, say what `read` makes of the support and how `logits` compares a query with it. `ways` may be
    changed after training wherever no parameter depends on it.
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
        """The state, from the support's features [n, …] and one-hot labels [n, ways]."""

    @abstractmethod
    def logits(self, state: Any, features: Tensor) -> Tensor:
        """Logits [m, ways] of a query's features [m, …]."""

    def init(self) -> tuple[Any, ...]:
        return ()

    def step(self, state: tuple[Any, ...], batch: Samples, k: int) -> tuple[Any, ...]:
        features = self.encoder(batch.x)
        return self.read(features, one_hot(batch.y, like=features.new_empty(len(features), self.ways)))

    def predict(self, state: tuple[Any, ...], x: Tensor) -> Tensor:
        return self.logits(state, self.encoder(x)) if state else x.new_zeros(len(x), self.ways)


def class_means(features: Tensor, labels: Tensor) -> Tensor:
    """The mean of each class: features [n, d] and one-hot labels [n, ways] to [ways, d]; 0 for a class not there."""
    return (labels.T @ features) / labels.sum(0).clamp(min=1)[:, None]


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """‖a_i − b_j‖² for rows [m, d] and [n, d], as [m, n]; by one product of matrices."""
    return a.square().sum(1)[:, None] + b.square().sum(1) - 2 * a @ b.T


def one_hot(labels: Tensor, *, like: Tensor) -> Tensor:
    """Labels [n], one-hot in the shape and type of logits [n, ways].

    torch's own `one_hot` makes, under vmap, a row of zeros of a label that is out of range, without a word.
    """
    return torch.zeros_like(like).scatter(1, labels[:, None], 1.0)
