"""Infinite mixture prototypes: as many clusters a class as its support asks for (Allen et al. 2019)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from metarl.learners.support import SupportLearner, Ways, class_means, squared_distances
from metarl.ranges import Positive, checked

LEAST = 1e-3  # points that a cluster must hold, in sum of their shares


class Clusters(NamedTuple):
    """Slots for clusters: one a class, then one a support point. Centres [slots, d], owners [slots, ways].

    A slot's row in `owners` is its class, one-hot, or 0 where no cluster is.
    """

    centres: Tensor
    owners: Tensor


class IMP(SupportLearner):
    """A class's logit is −‖f(x) − μ‖² / 2σ of its nearest cluster (Allen et al. 2019, algorithm 1, one pass).

    Every class starts with its mean. In the support's order, a point further than λ from every cluster of its class
    founds another there; then points are shared softly among their class's clusters, whose means they become:
    z_ic ∝ N(f(x_i); μ_c, σ). λ = −2σ log α + d·σ log(1 + ρ/σ), with ρ the variance between class means (eq. 5). The
    variance σ is learned, `variance` at the start; `concentration` is α. Founding takes no gradient; sharing does.

    There is a slot for every cluster that could be, so nothing is cut off and all tasks have one shape.
    """

    @checked
    def __init__(
        self, encoder: nn.Module, *, ways: Ways, variance: Positive = 5.0, concentration: Positive = 0.1
    ) -> None:
        super().__init__(encoder, ways=ways)
        self.log_variance = nn.Parameter(torch.tensor(math.log(variance)))
        self.concentration = concentration

    def limit(self, means: Tensor) -> Tensor:
        """λ, the squared distance beyond which a point founds a cluster, from the class means [ways, d]."""
        variance, between = self.log_variance.exp(), means.var(0).mean()
        return variance * (means.shape[1] * torch.log1p(between / variance) - 2 * math.log(self.concentration))

    def read(self, features: Tensor, labels: Tensor) -> Clusters:
        means = class_means(features, labels)
        distances = squared_distances(features, torch.cat([means, features]))  # [n, slots]
        owners = torch.cat([torch.eye(self.ways, dtype=labels.dtype, device=labels.device), labels])
        kin = labels @ owners.T > 0
        slots, limit = torch.arange(len(owners), device=labels.device), self.limit(means)
        there = slots < self.ways
        for i in range(len(features)):
            nearest = torch.where(kin[i] & there, distances[i], math.inf).amin()
            there = there | ((slots == self.ways + i) & (nearest > limit))
        shares = torch.where(kin & there, -distances / (2 * self.log_variance.exp()), -math.inf).softmax(1)
        held = shares.sum(0)
        centres = (shares.T @ features) / held.clamp(min=LEAST)[:, None]
        return Clusters(centres, owners * (held > LEAST)[:, None])

    def logits(self, state: Clusters, features: Tensor) -> Tensor:
        closeness = -squared_distances(features, state.centres) / (2 * self.log_variance.exp())  # [m, slots]
        return torch.where(state.owners.T > 0, closeness[:, None], -math.inf).amax(-1)
