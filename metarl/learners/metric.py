"""Metric-based learners: prototypes, siamese pairs and learned relations."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from metarl.core import Predict
from metarl.described import Described
from metarl.learners.support import SupportLearner, Ways, class_means, one_hot, squared_distances
from metarl.losses import Samples
from metarl.nets.conv4 import Block
from metarl.ranges import Count, checked


class ProtoNet(SupportLearner):
    """p(y = k) = softmax_k(−‖f(x) − c_k‖²), c_k the mean of class k's features (Snell et al. 2017, eq. 1 and 2)."""

    def read(self, features: Tensor, labels: Tensor) -> tuple[Tensor]:
        return (class_means(features, labels),)

    def logits(self, state: tuple[Tensor], features: Tensor) -> Tensor:
        return -squared_distances(features, state[0])


class Embedded(NamedTuple):
    """An embedded support: features [n, d] and one-hot labels [n, ways]."""

    features: Tensor
    labels: Tensor


def verification(predict: Predict, batch: Samples) -> Tensor:
    """Cross-entropy of "same or not" over all pairs of a query and a class; pairs of either kind weigh half.

    With one shot these are all pairs of a query and a support image (Koch et al. 2015, section 3.2): train so.
    """
    logits = predict(batch.x)
    same = one_hot(batch.y, like=logits)
    losses = functional.binary_cross_entropy_with_logits(logits, same, reduction="none")
    return ((same * losses).sum() / same.sum() + ((1 - same) * losses).sum() / (1 - same).sum()) / 2


class SiameseNet(SupportLearner):
    """p(same class) = σ(Σ_j w_j |f(x)_j − f(x_i)_j| + b) (Koch et al. 2015, section 3.1); train it with `verification`.

    A query is of the class of the support image most likely the same: a class's logit is its highest pair's. The
    weights w of the `features` distances start equal and negative, so that near means same.
    """

    loss = staticmethod(verification)

    @checked
    def __init__(self, encoder: nn.Module, *, ways: Ways, features: Count) -> None:
        super().__init__(encoder, ways=ways)
        self.same = nn.Linear(features, 1)
        nn.init.constant_(self.same.weight, -1 / math.sqrt(features))

    def read(self, features: Tensor, labels: Tensor) -> Embedded:
        return Embedded(features, labels)

    def logits(self, state: Embedded, features: Tensor) -> Tensor:
        pairs = self.same((features[:, None] - state.features).abs()).squeeze(-1)  # [m, n]
        return torch.where(state.labels.T > 0, pairs[:, None], -math.inf).amax(-1)


def relation_mse(predict: Predict, batch: Samples) -> Tensor:
    """Mean (σ(logit) − 1(same class))² over all pairs of a query and a class (Sung et al. 2018, eq. 2)."""
    logits = predict(batch.x)
    return functional.mse_loss(logits.sigmoid(), one_hot(batch.y, like=logits))


class RelationNet(SupportLearner):
    """Scores σ(g([Σ_{i of k} f(x_i), f(x)])) by a learned comparison g (Sung et al. 2018, eq. 1).

    `relation` takes both features joined along axis 1 to one number, [pairs, 2·c, …] to [pairs, 1]: an MLP for
    features [n, c], `Comparison` for feature maps [n, c, size, size]. Logits are scores before the σ; train with
    `relation_mse`.
    """

    loss = staticmethod(relation_mse)

    @checked
    def __init__(self, encoder: nn.Module, relation: nn.Module, *, ways: Ways) -> None:
        super().__init__(encoder, ways=ways)
        self.relation = relation

    def read(self, features: Tensor, labels: Tensor) -> tuple[Tensor]:
        return ((labels.T @ features.flatten(1)).unflatten(1, features.shape[1:]),)

    def logits(self, state: tuple[Tensor], features: Tensor) -> Tensor:
        shape = (len(features), self.ways, *features.shape[1:])
        pairs = torch.cat([state[0].expand(shape), features[:, None].expand(shape)], 2)
        return self.relation(pairs.flatten(0, 1)).view(shape[:2])


class Comparison(Described, nn.Module):
    """Two pooling convolution blocks of `channels` filters, then linear to 8, ReLU, linear to 1 (Sung et al. 2018,
    section 3.4): joined feature maps [pairs, 2·channels, size, size] to [pairs, 1]. Normalises over the pairs given.
    """

    @checked
    def __init__(self, channels: Count, size: Count, *, hidden: Count = 8) -> None:
        super().__init__()
        if size < 4:
            raise ValueError(f"feature maps of size {size} vanish in two poolings: give 4 or more")
        self.blocks = nn.Sequential(Block(2 * channels, channels, pool=True), Block(channels, channels, pool=True))
        self.head = nn.Sequential(nn.Linear(channels * (size // 4) ** 2, hidden), nn.ReLU(), nn.Linear(hidden, 1))

    def forward(self, pairs: Tensor) -> Tensor:
        return self.head(self.blocks(pairs).flatten(1))
