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
    """A Gaussian over linear maps: precision Λ [d, d], and Λ times the mean, [d, outputs]."""

    precision: Tensor
    weighted: Tensor


def gaussian_nll(predict: Predict, batch: Samples) -> Tensor:
    """Mean negative log-likelihood, in nats a number, of targets under predictions (mean, log-std)."""
    mean, log_std = predict(batch.x)
    check_shapes(mean, batch.y)
    return (0.5 * ((batch.y - mean) * (-log_std).exp()).square() + log_std).mean() + 0.5 * math.log(2 * math.pi)


class ALPaCA(Learner):
    """y = Kᵀφ(x) + ε with ε ~ N(0, `noise`) and K ~ MN(K̄, noise, Λ⁻¹); features, K̄₀ and Λ₀ = L₀L₀ᵀ are learned.

    One step is Bayes' rule: Λ = Λ₀ + ΦᵀΦ, K̄ = Λ⁻¹(Φᵀ Y + Λ₀K̄₀) (Harrison et al. 2018, section 3). A further step
    takes its batch for new data. A prediction is (mean [m, outputs], log-std [m, outputs]) of y with its noise, whose
    variance is noise·(1 + φᵀΛ⁻¹φ). Train with `gaussian_nll`. `encoder` gives φ [n, features]. `noise` is a
    variance, in the units of y²; the paper's sinusoids have 0.02.

    The prior starts as K̄₀ = 0 and Λ₀ = 1, the identity.
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
