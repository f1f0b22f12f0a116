"""LLAMA: MAML as empirical Bayes, with Laplace's approximation (Grant et al. 2018)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from metarl.core import Episodes, Objective, Predict
from metarl.described import Described
from metarl.learners.heads import identity, with_ones
from metarl.ranges import Count, NonNegative, Positive, checked

Roots = Callable[[Tensor], Tensor]


class WithFeatures(NamedTuple):
    """An input of a `Headed` net for which it returns its features as well as its outputs."""

    x: Tensor


class Headed(Described, nn.Module):
    """An encoder with a linear head: x to outputs [n, outputs], and `WithFeatures(x)` to (outputs, features [n, d])."""

    @checked
    def __init__(self, encoder: nn.Module, *, features: Count, outputs: Count) -> None:
        super().__init__()
        self.encoder, self.head = encoder, nn.Linear(features, outputs)

    def forward(self, x: Tensor | WithFeatures) -> Tensor | tuple[Tensor, Tensor]:
        features = self.encoder(x.x if isinstance(x, WithFeatures) else x)
        outputs = self.head(features)
        return (outputs, features) if isinstance(x, WithFeatures) else outputs


@checked
def laplace(
    objective: Objective, roots: Roots, *, weight: NonNegative = 1e-6, precision: Positive = 1.0
) -> Objective:
    """Add `weight`·log det(H/τ) to `objective`, with H the curvature at the adapted head (Grant et al. 2018).

    The learner must be a `GradientLearner` of a `Headed` net with at least one inner step. The objective is
    `final(loss)` in the paper; it may also be `multi_step(loss, weights)`. By Laplace's method around the adapted
    parameters φ, −log p(support | θ) ≈ −log p(support | φ) − log p(φ | θ) + ½ log det(H/τ) (section 3.3). Here
    H = Σ ∇²(−log p) + τ, with a sum over the support and the `precision` τ of the prior. As in the paper's algorithm, a
    multiple of the last term is added to MAML's loss, and the small number of inner steps replaces the prior term.

    H is exact and for the head only: outputs are linear in the head, so that the Hessian, the Fisher information and
    the Gauss–Newton matrix are equal. (The paper uses a Kronecker-factored estimate for all layers.) With
    `adapt="head"` in the learner, only the head is adapted. `roots` is determined by the likelihood: `softmax_roots`,
    or `gaussian_roots(noise)`.
    """

    def with_volume(predicts: Sequence[Predict], episode: Episodes) -> Tensor:
        if not episode.support:
            raise ValueError("laplace needs the support to which the head was adapted: give the learner inner steps")
        outputs, features = predicts[-1](WithFeatures(episode.support[-1].x))
        volume = log_determinant(features, roots(outputs), precision=precision)
        return objective(predicts, episode) + weight * volume

    return with_volume


def log_determinant(features: Tensor, roots: Tensor, *, precision: float) -> Tensor:
    """log det(1 + Σ_n f_n f_nᵀ ⊗ B_n B_nᵀ / τ), with f_n the features [n, d] and a 1 for the bias, and B [n, c, c].

    By Sylvester's identity it is computed from an nc × nc matrix with blocks 1 + f_n·f_m B_nᵀB_m / τ, for any number of
    features.
    """
    x = with_ones(features)
    rows = torch.einsum("nm,nka,mkb->namb", x @ x.T / precision, roots, roots).flatten(2).flatten(0, 1)
    return 2 * torch.linalg.cholesky(rows + identity(rows)).diagonal().log().sum()


def softmax_roots(outputs: Tensor) -> Tensor:
    """B = diag √p − p√pᵀ, [n, c] to [n, c, c], for which BBᵀ is the Hessian of the cross-entropy, diag p − ppᵀ."""
    p, root = outputs.softmax(1), (0.5 * outputs.log_softmax(1)).exp()
    return torch.diag_embed(root) - p[:, :, None] * root[:, None]


@checked
def gaussian_roots(noise: Positive) -> Roots:
    """As `softmax_roots`, for Gaussian targets with the variance `noise`: B = 1/√noise."""
    return lambda outputs: torch.diag_embed(torch.full_like(outputs, 1 / math.sqrt(noise)))
