"""MAML as empirical Bayes by Laplace's method: LLAMA (Grant et al. 2018)."""

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


class Inside(NamedTuple):
    """Asks a `Headed` net for what it has inside, in place of its outputs for x alone."""

    x: Tensor


class Headed(Described, nn.Module):
    """A linear head on an encoder: x [n, …] to outputs [n, outputs], and `Inside(x)` to (outputs, features [n, d])."""

    @checked
    def __init__(self, encoder: nn.Module, *, features: Count, outputs: Count) -> None:
        super().__init__()
        self.encoder, self.head = encoder, nn.Linear(features, outputs)

    def forward(self, x: Tensor | Inside) -> Tensor | tuple[Tensor, Tensor]:
        features = self.encoder(x.x if isinstance(x, Inside) else x)
        outputs = self.head(features)
        return (outputs, features) if isinstance(x, Inside) else outputs


@checked
def laplace(
    objective: Objective, roots: Roots, *, weight: NonNegative = 1e-6, precision: Positive = 1.0
) -> Objective:
    """`objective` + `weight`·log det(H/τ), H the curvature of the adapted head on the support (Grant et al. 2018).

    The objective is `final(loss)` in the paper, or `multi_step(loss, weights)`. For a `GradientLearner` of a `Headed`
    net with one or more inner steps. −log p(support | θ) is about −log p(support | φ) − log p(φ | θ) +
    ½ log det(H/τ) around the adapted φ (section 3.3, Laplace's method), with H = Σ ∇²(−log p) + τ: the sum over the
    support, and the prior's `precision` τ. Like the paper's algorithm this adds a multiple of the last term to MAML's
    loss, and leaves the prior's own to the inner loop's few steps.

    H is of the head alone, and exact there: outputs are linear in it, so Hessian, Fisher information and Gauss–Newton
    matrix are one. With `fast="head"` in the learner that is all that is adapted. The paper takes a Kronecker-factored
    estimate for all layers. `roots` belongs to the likelihood: `softmax_roots`, or `gaussian_roots(noise)`.
    """

    def with_volume(predicts: Sequence[Predict], episode: Episodes) -> Tensor:
        if not episode.support:
            raise ValueError("laplace judges the head by the support it was adapted to: give the learner inner steps")
        outputs, features = predicts[-1](Inside(episode.support[-1].x))
        volume = log_determinant(features, roots(outputs), precision=precision)
        return objective(predicts, episode) + weight * volume

    return with_volume


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


@checked
def gaussian_roots(noise: Positive) -> Roots:
    """As `softmax_roots`, for Gaussian targets of variance `noise` around the outputs: 1/√noise."""
    return lambda outputs: torch.diag_embed(torch.full_like(outputs, 1 / math.sqrt(noise)))
