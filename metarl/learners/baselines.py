"""Baselines of few-shot classification: nearest neighbours on pixels, and a linear head on frozen features."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from metarl.learners.heads import with_ones
from metarl.learners.metric import Embedded
from metarl.learners.support import SupportLearner, Ways, squared_distances
from metarl.ranges import Count, Whole, checked


class NearestNeighbour(SupportLearner):
    """A class's logit is minus the squared distance to its nearest support image, on flat inputs.

    There is nothing to train: evaluate it. An `encoder` compares that net's features instead of pixels.
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
    """A linear softmax classifier fitted to the support by gradient descent from 0 on a frozen encoder's features.

    The encoder is pre-trained on all training `classes` at once, through a linear layer of its own, which is what
    predicts before there is a support; nothing is meta-trained: `steps` is 0 (metarl.tasks.joint has the batches).
    Every one of `iterations` steps of fine-tuning goes the whole 2 / mean‖f‖², the inverse of a bound on the mean
    cross-entropy's curvature (Böhning 1992), and so lowers the loss whatever the features' scale (f has a 1 for the
    bias).
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
