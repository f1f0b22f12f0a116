"""Metric-based learners: prototypical, Siamese and relation networks."""

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
    """Prototypical networks: p(y = k) = softmax_k(−‖f(x) − c_k‖²), with c_k the mean features of class k.

    See Snell et al. 2017, eq. 1 and 2.
    """

    def read(self, features: Tensor, labels: Tensor) -> tuple[Tensor]:
        return (class_means(features, labels),)

    def logits(self, state: tuple[Tensor], features: Tensor) -> Tensor:
        return -squared_distances(features, state[0])


class Embedded(NamedTuple):
    """A support, as features [n, d] and one-hot labels [n, ways]."""

    features: Tensor
    labels: Tensor


def verification(predict: Predict, batch: Samples) -> Tensor:
    """The binary cross-entropy of "same class or not" over all pairs of a query and a class.

    Both kinds of pairs have the same total weight. With one shot these are all pairs of a query and a support image
    (Koch et al. 2015, section 3.2), so train with one shot.
    """
    logits = predict(batch.x)
    same = one_hot(batch.y, like=logits)
    losses = functional.binary_cross_entropy_with_logits(logits, same, reduction="none")
    return ((same * losses).sum() / same.sum() + ((1 - same) * losses).sum() / (1 - same).sum()) / 2


class SiameseNet(SupportLearner):
    """Siamese networks: p(same class) = σ(Σ_j w_j |f(x)_j − f(x_i)_j| + b) for a query and a support image.

    See Koch et al. 2015, section 3.1. The logit of a class is that of its most similar support image. The weights w are
    initialised to equal negative values, so that close features mean the same class. The loss is `verification`.
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
    """The mean of (σ(logit) − 1(same class))² over all pairs of a query and a class (Sung et al. 2018, eq. 2)."""
    logits = predict(batch.x)
    return functional.mse_loss(logits.sigmoid(), one_hot(batch.y, like=logits))


class RelationNet(SupportLearner):
    """Relation networks: the score of class k is σ(g([Σ_{i of k} f(x_i), f(x)])) with a learned comparison g.

    See Sung et al. 2018, eq. 1. `relation` is g, from features concatenated along axis 1, [pairs, 2·c, …], to
    [pairs, 1]: an MLP for features [n, c], or `Comparison` for feature maps [n, c, size, size]. Logits are the scores
    without σ. The loss is `relation_mse`.
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
    """The comparison of relation networks: feature maps [pairs, 2·channels, size, size] to [pairs, 1].

    It has two convolution blocks with pooling and `channels` filters, and two linear layers (Sung et al. 2018, section
    3.4). Normalisation uses the statistics of the current pairs.

    Args:
        hidden: hidden units between the two linear layers
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
