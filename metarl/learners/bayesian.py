"""ALPaCA: Bayesian linear regression on learned features (Harrison et al. 2018)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from metarl.core import Learner, Predict
from metarl.losses import Samples, check_shapes
from metarl.ranges import Count, Positive, checked


class Posterior(NamedTuple):
    """A Gaussian distribution over linear maps: the precision Λ [d, d], and Λ times the mean, [d, outputs]."""

    precision: Tensor
    weighted: Tensor


def gaussian_nll(predict: Predict, batch: Samples) -> Tensor:
    """The mean negative log-likelihood, in nats per number, of targets under predictions (mean, log-std)."""
    mean, log_std = predict(batch.x)
    check_shapes(mean, batch.y)
    return (0.5 * ((batch.y - mean) * (-log_std).exp()).square() + log_std).mean() + 0.5 * math.log(2 * math.pi)


class ALPaCA(Learner):
    """Bayesian linear regression on learned features: y = Kᵀφ(x) + ε with ε ~ N(0, noise), K ~ MN(K̄, noise, Λ⁻¹).

    The `encoder`, which maps inputs to features φ [n, features], and the prior, K̄₀ and Λ₀ = L₀L₀ᵀ, are learned. The
    prior is initialised to K̄₀ = 0 and the identity Λ₀ = 1. One step is Bayes' rule: Λ = Λ₀ + ΦᵀΦ and
    K̄ = Λ⁻¹(ΦᵀY + Λ₀K̄₀) (Harrison et al. 2018, section 3). A further step treats its batch as additional data. A
    prediction is (mean [m, outputs], log-std [m, outputs]) of y including its noise, with the variance
    noise·(1 + φᵀΛ⁻¹φ). The loss is `gaussian_nll`.

    Args:
        noise: variance of the noise, in the units of y²; 0.02 for the paper's sinusoids
    """

    steps = 1
    gradient_steps = False
    loss = staticmethod(gaussian_nll)

    @checked
    def __init__(self, encoder: nn.Module, *, features: Count, outputs: Count = 1, noise: Positive = 0.02) -> None:
        super().__init__()
        self.encoder, self.noise = encoder, noise
        self.mean = nn.Parameter(torch.zeros(features, outputs))
        self.root = nn.Parameter(torch.eye(features))

    def init(self) -> Posterior:
        precision = self.root @ self.root.T
        return Posterior(precision, precision @ self.mean)

    def step(self, state: Posterior, batch: Samples, k: int) -> Posterior:
        phi = self.encoder(batch.x)
        return Posterior(state.precision + phi.T @ phi, state.weighted + phi.T @ batch.y)

    def predict(self, state: Posterior, x: Tensor) -> tuple[Tensor, Tensor]:
        phi = self.encoder(x)
        outputs = state.weighted.shape[1]
        solved = torch.linalg.solve(state.precision, torch.cat([state.weighted, phi.T], 1))
        spread = (phi.T * solved[:, outputs:]).sum(0)  # φᵀΛ⁻¹φ
        log_std = 0.5 * (math.log(self.noise) + torch.log1p(spread))
        return phi @ solved[:, :outputs], log_std[:, None].expand(-1, outputs)
