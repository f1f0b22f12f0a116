"""Linear heads solved on the support by ridge and logistic regression (Bertinetto et al. 2019)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from metarl.learners.support import SupportLearner, Ways
from metarl.ranges import Count, Positive, checked


class R2D2(SupportLearner):
    """Logits α·X'W with W = Xᵀ(XXᵀ + λI)⁻¹Y, ridge regression of one-hot labels (Bertinetto et al. 2019, section 3).

    X is the support's features [n, d] with a column of ones. By Woodbury's identity the system to solve is n × n,
    however many features there are. λ and α are learned as logarithms, from `penalty` and `scale`. The paper's
    additive β is left out: added to all logits, it changes no probability.
    """

    @checked
    def __init__(self, encoder: nn.Module, *, ways: Ways, penalty: Positive = 1.0, scale: Positive = 10.0) -> None:
        super().__init__(encoder, ways=ways)
        self.log_penalty, self.log_scale = log_parameter(penalty), log_parameter(scale)

    def read(self, features: Tensor, labels: Tensor) -> tuple[Tensor]:
        x = with_ones(features)
        products = x @ x.T
        return (x.T @ torch.linalg.solve(products + ridge(self.log_penalty, products), labels),)

    def logits(self, state: tuple[Tensor], features: Tensor) -> Tensor:
        return self.log_scale.exp() * with_ones(features) @ state[0]


class LRD2(SupportLearner):
    """Logits X'W with each class's w the logistic regression of it against the rest, by Newton's method.

    w = argmin −log-likelihood + λ/2‖w‖², from 0, by `iterations` of iteratively reweighted least squares, each in its
    n × n form (Bertinetto et al. 2019, section 3.3). λ is learned as a logarithm, from `penalty`.
    """

    @checked
    def __init__(self, encoder: nn.Module, *, ways: Ways, penalty: Positive = 1.0, iterations: Count = 5) -> None:
        super().__init__(encoder, ways=ways)
        self.log_penalty, self.iterations = log_parameter(penalty), iterations

    def read(self, features: Tensor, labels: Tensor) -> tuple[Tensor]:
        x = with_ones(features)
        products = x @ x.T
        penalty = ridge(self.log_penalty, products)
        targets = labels.T  # [ways, n]
        outputs = torch.zeros_like(targets)
        for _ in range(self.iterations):
            # w = Xᵀ(XXᵀ + λS⁻¹)⁻¹z, z = Xw + S⁻¹(y − p), written with r = √S, which may vanish
            p = outputs.sigmoid()
            r = (p * (1 - p)).clamp(min=1e-8).sqrt()
            system = r[:, :, None] * products * r[:, None, :] + penalty
            weights = r * torch.linalg.solve(system, r * outputs + (targets - p) / r)
            outputs = weights @ products
        return (x.T @ weights.T,)

    def logits(self, state: tuple[Tensor], features: Tensor) -> Tensor:
        return with_ones(features) @ state[0]


def log_parameter(value: float) -> nn.Parameter:
    """log `value` as a Parameter."""
    return nn.Parameter(torch.tensor(math.log(value)))


def with_ones(features: Tensor) -> Tensor:
    """Features [n, d] with a column of ones, [n, d + 1]."""
    return functional.pad(features, (0, 1), value=1.0)


def identity(x: Tensor) -> Tensor:
    return torch.eye(len(x), dtype=x.dtype, device=x.device)


def ridge(log_penalty: Tensor, products: Tensor) -> Tensor:
    """λI for a system of inner products [n, n], λ at least what keeps it regular in its precision."""
    least = 10 * torch.finfo(products.dtype).eps * products.diagonal().mean()
    return torch.maximum(log_penalty.exp(), least) * identity(products)
