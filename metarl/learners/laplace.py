"""MAML as empirical Bayes by Laplace's method: LLAMA (Grant et al. 2018)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from metarl.core import Episodes, Loss, Objective, Predict
from metarl.learners.heads import identity, with_ones

Roots = Callable[[Tensor], Tensor]


class Inside(NamedTuple):
    """Asks a `Headed` net for what it has inside, in place of its outputs for x alone."""

    x: Tensor


class Headed(nn.Module):
    """A linear head on an encoder: x [n, …] to outputs [n, outputs], and `Inside(x)` to (outputs, features [n, d])."""

    def __init__(self, encoder: nn.Module, *, features: int, outputs: int) -> None:
        super().__init__()
        self.encoder, self.head = encoder, nn.Linear(features, outputs)

    def forward(self, x: Tensor | Inside) -> Tensor | tuple[Tensor, Tensor]:
        features = self.encoder(x.x if isinstance(x, Inside) else x)
        outputs = self.head(features)
        return (outputs, features) if isinstance(x, Inside) else outputs


def laplace(loss: Loss, roots: Roots, *, weight: float = 1e-6, precision: float = 1.0) -> Objective:
    """Query loss + `weight`·log det(H/τ), H the curvature of the adapted head on the support (Grant et al. 2018).

    For a `GradientLearner` of a `Headed` net. −log p(support | θ) is about −log p(support | φ) − log p(φ | θ) +
    ½ log det(H/τ) around the adapted φ (section 3.3, Laplace's method), with H = Σ ∇²(−log p) + τ: the sum over the
    support, and the prior's `precision` τ. Like the paper's algorithm this adds a multiple of the last term to MAML's
    loss, and leaves the prior's own to the inner loop's few steps.

    H is of the head alone, and exact there: outputs are linear in it, so Hessian, Fisher information and Gauss–Newton
    matrix are one. With `fast="head"` in the learner that is all that is adapted. The paper takes a Kronecker-factored
    estimate for all layers. `roots` belongs to the likelihood: `softmax_roots`, or `gaussian_roots(noise)`.
    """
    if precision <= 0:
        raise ValueError(f"precision is {precision}: give the positive precision of the prior")

    def objective(predicts: Sequence[Predict], episode: Episodes) -> Tensor:
        outputs, features = predicts[-1](Inside(episode.support[-1].x))
        volume = log_determinant(features, roots(outputs), precision=precision)
        return loss(predicts[-1], episode.query) + weight * volume

    return objective


def log_determinant(features: Tensor, roots: Tensor, *, precision: float) -> Tensor:
    """log det(1 + Σ_n f_n f_nᵀ ⊗ B_n B_nᵀ / τ), f_n the features with a 1 for the bias: [n, d] and B [n, c, c].

    By Sylvester's identity the determinant is of an nc × nc matrix, however many features there are: its block n, m is
    1 + f_n·f_m B_nᵀB_m / τ.
    """
    x = with_ones(features)
    rows = torch.einsum("nm,nka,mkb->namb", x @ x.T / precision, roots, roots).flatten(2).flatten(0, 1)
    return 2 * torch.linalg.cholesky(rows + identity(rows)).diagonal().log().sum()


def softmax_roots(outputs: Tensor) -> Tensor:
    """B with BBᵀ = diag p − ppᵀ, the Hessian of cross-entropy by logits: B = diag √p − p√pᵀ, [n, c] to [n, c, c]."""
    p, root = outputs.softmax(1), (0.5 * outputs.log_softmax(1)).exp()
    return torch.diag_embed(root) - p[:, :, None] * root[:, None]


def gaussian_roots(noise: float) -> Roots:
    """As `softmax_roots`, for Gaussian targets of variance `noise` around the outputs: 1/√noise."""
    if noise <= 0:
        raise ValueError(f"noise is {noise}: give the positive variance of the targets' noise")
    return lambda outputs: torch.diag_embed(torch.full_like(outputs, 1 / math.sqrt(noise)))
