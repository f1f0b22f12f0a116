"""Infinite mixture prototypes: classes with a variable number of clusters (Allen et al. 2019)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from metarl.learners.support import SupportLearner, Ways, class_means, squared_distances
from metarl.ranges import Positive, checked

MIN_POINTS = 1e-3  # a cluster with a smaller sum of assignments is empty


class Clusters(NamedTuple):
    """Slots for clusters, one for each class and one for each support point: centres [slots, d], owners [slots, ways].

    The row of a slot in `owners` is its class, one-hot, or 0 if the slot has no cluster.
    """

    centres: Tensor
    owners: Tensor


class IMP(SupportLearner):
    """Infinite mixture prototypes: a class's logit is −‖f(x) − μ‖² / 2σ for its nearest cluster mean μ.

    See Allen et al. 2019, algorithm 1; there is one pass over the support. Each class starts with one cluster at its
    mean. In the order of the support, a point whose squared distance from all clusters of its class exceeds λ founds a
    new cluster. Then points are assigned softly to the clusters of their class, z_ic ∝ N(f(x_i); μ_c, σ), and clusters
    move to the means of their points. λ = −2σ log α + d·σ log(1 + ρ/σ), with ρ the variance between class means
    (eq. 5). The variance σ is learned. Soft assignments are differentiated; the decisions to found clusters are not.

    There is a slot for each possible cluster, so that all tasks have the same shapes.

    Args:
        variance: initial value of the variance σ
        concentration: concentration α; a larger one leads to more clusters
    """

    @checked
    def __init__(
        self, encoder: nn.Module, *, ways: Ways, variance: Positive = 5.0, concentration: Positive = 0.1
    ) -> None:
        super().__init__(encoder, ways=ways)
        self.log_variance = nn.Parameter(torch.tensor(math.log(variance)))
        self.concentration = concentration

    def limit(self, means: Tensor) -> Tensor:
        """λ, the squared distance beyond which a point founds a new cluster, from the class means [ways, d]."""
        variance, between = self.log_variance.exp(), means.var(0).mean()
        return variance * (means.shape[1] * torch.log1p(between / variance) - 2 * math.log(self.concentration))

    def read(self, features: Tensor, labels: Tensor) -> Clusters:
        means = class_means(features, labels)
        distances = squared_distances(features, torch.cat([means, features]))  # [n, slots]
        owners = torch.cat([torch.eye(self.ways, dtype=labels.dtype, device=labels.device), labels])
        same_class = labels @ owners.T > 0
        slots, limit = torch.arange(len(owners), device=labels.device), self.limit(means)
        active = slots < self.ways
        for i in range(len(features)):
            nearest = torch.where(same_class[i] & active, distances[i], math.inf).amin()
            active = active | ((slots == self.ways + i) & (nearest > limit))
        assignments = torch.where(same_class & active, -distances / (2 * self.log_variance.exp()), -math.inf).softmax(1)
        points = assignments.sum(0)
        centres = (assignments.T @ features) / points.clamp(min=MIN_POINTS)[:, None]
        return Clusters(centres, owners * (points > MIN_POINTS)[:, None])

    def logits(self, state: Clusters, features: Tensor) -> Tensor:
        closeness = -squared_distances(features, state.centres) / (2 * self.log_variance.exp())  # [m, slots]
        return torch.where(state.owners.T > 0, closeness[:, None], -math.inf).amax(-1)
