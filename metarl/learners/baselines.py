"""Baselines of few-shot classification: nearest neighbours, and a linear head on frozen features."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from metarl.learners.heads import with_ones
from metarl.learners.metric import Embedded
from metarl.learners.support import SupportLearner, Ways, squared_distances
from metarl.ranges import Count, Whole, checked


class NearestNeighbour(SupportLearner):
    """Nearest-neighbour classification: a class's logit is minus the squared distance to its nearest support image.

    Distances are between pixels or, if an `encoder` is given, between its features. Nothing is trained.
    """

    @checked
    def __init__(self, encoder: nn.Module | None = None, *, ways: Ways) -> None:
        super().__init__(encoder or nn.Flatten(), ways=ways)

    def read(self, features: Tensor, labels: Tensor) -> Embedded:
        return Embedded(features, labels)

    def logits(self, state: Embedded, features: Tensor) -> Tensor:
        closeness = -squared_distances(features, state.features)  # [m, n]
        return torch.where(state.labels.T > 0, closeness[:, None], -math.inf).amax(-1)


class FineTune(SupportLearner):
    """A linear softmax classifier that is fitted to the support by gradient descent, on features of a frozen encoder.

    The encoder is pre-trained on all training `classes` at once (`metarl.tasks.Joint`) with another linear layer, which
    makes the predictions before adaptation. There is no meta-training: `steps` is 0. Gradient descent starts from 0
    with the step size 2 / mean‖f‖², in which f are the features with a 1 for the bias. This is the inverse of a bound
    on the curvature of the mean cross-entropy (Böhning 1992), so that each step reduces the loss for any scale of the
    features.

    Args:
        iterations: number of gradient steps on the support
    """

    steps = 0

    @checked
    def __init__(
        self, encoder: nn.Module, *, ways: Ways, features: Count, classes: Ways, iterations: Whole = 100
    ) -> None:
        super().__init__(encoder, ways=ways)
        self.pretrained, self.iterations = nn.Linear(features, classes), iterations

    def read(self, features: Tensor, labels: Tensor) -> tuple[Tensor]:
        x = with_ones(features.detach())
        lr = 2 / x.square().sum()  # of the summed loss
        weights = x.new_zeros(x.shape[1], self.ways)
        for _ in range(self.iterations):
            weights = weights - lr * x.T @ ((x @ weights).softmax(1) - labels)
        return (weights,)

    def logits(self, state: tuple[Tensor], features: Tensor) -> Tensor:
        return with_ones(features) @ state[0]

    def predict(self, state: tuple[Tensor, ...], x: Tensor) -> Tensor:
        return super().predict(state, x) if state else self.pretrained(self.encoder(x))
