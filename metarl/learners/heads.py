"""Linear heads that are solved on the support by ridge or logistic regression (Bertinetto et al. 2019)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from metarl.learners.support import SupportLearner, Ways
from metarl.ranges import Count, Positive, checked


class R2D2(SupportLearner):
    """Ridge regression of one-hot labels on features: logits α·X'W with W = Xᵀ(XXᵀ + λI)⁻¹Y.

    X are the features [n, d] of the support with a column of ones, X' those of the query (Bertinetto et al. 2019,
    section 3). By Woodbury's identity the linear system is n × n for any number of features. λ and α are learned as
    logarithms. The paper's additive β is omitted because it does not change probabilities.

    Args:
        penalty: initial value of the regularisation λ
        scale: initial value of the scale α of the logits
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
    """Logistic regression of each class against the others on features, solved by Newton's method.

    For each class, w = argmin −log-likelihood + λ/2‖w‖² is solved by iteratively reweighted least squares from w = 0,
    with n × n systems (Bertinetto et al. 2019, section 3.3). λ is learned as a logarithm.

    Args:
        penalty: initial value of the regularisation λ
        iterations: number of Newton steps
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
            # w = Xᵀ(XXᵀ + λS⁻¹)⁻¹z with z = Xw + S⁻¹(y − p), written with r = √S because S may be close to 0
            p = outputs.sigmoid()
            r = (p * (1 - p)).clamp(min=1e-8).sqrt()
            system = r[:, :, None] * products * r[:, None, :] + penalty
            weights = r * torch.linalg.solve(system, r * outputs + (targets - p) / r)
            outputs = weights @ products
        return (x.T @ weights.T,)

    def logits(self, state: tuple[Tensor], features: Tensor) -> Tensor:
        return with_ones(features) @ state[0]


def log_parameter(value: float) -> nn.Parameter:
    """A Parameter with the initial value log(`value`)."""
    return nn.Parameter(torch.tensor(math.log(value)))


def with_ones(features: Tensor) -> Tensor:
    """Features [n, d] with an additional column of ones, [n, d + 1]."""
    return functional.pad(features, (0, 1), value=1.0)


def identity(x: Tensor) -> Tensor:
    """The identity matrix [n, n] for x [n, …]."""
    return torch.eye(len(x), dtype=x.dtype, device=x.device)


def ridge(log_penalty: Tensor, products: Tensor) -> Tensor:
    """λI for a matrix of inner products [n, n]. λ has a minimum that keeps the system regular in its precision."""
    least = 10 * torch.finfo(products.dtype).eps * products.diagonal().mean()
    return torch.maximum(log_penalty.exp(), least) * identity(products)
