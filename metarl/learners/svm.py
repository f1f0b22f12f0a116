"""MetaOptNet: a differentiable multi-class support vector machine on the support (Lee et al. 2019)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from metarl.learners.heads import log_parameter
from metarl.learners.support import SupportLearner, Ways
from metarl.ranges import Count, Positive, checked

TOLERANCE = 1e-8  # p·λ of each variable at the solution, its part of the duality gap in units of C


class MetaOptNet(SupportLearner):
    """The support vector machine of Crammer and Singer on features, with logits γ·f(x)·w_k and a learned γ.

    It minimises ½Σ_k‖w_k‖² + C Σ_i ξ_i subject to w_{y_i}·f_i − w_k·f_i ≥ 1 − δ_{k,y_i} − ξ_i (Lee et al. 2019, section
    3), without a bias. The dual is solved by an interior-point method (see `dual`) in float64, because the last
    iterations are ill-conditioned in float32.

    Args:
        cost: C, the weight of violated margins
        scale: initial value of the scale γ of the logits
        iterations: number of interior-point iterations
    """

    @checked
    def __init__(
        self, encoder: nn.Module, *, ways: Ways, cost: Positive = 0.1, scale: Positive = 1.0, iterations: Count = 15
    ) -> None:
        super().__init__(encoder, ways=ways)
        self.log_scale, self.cost, self.iterations = log_parameter(scale), cost, iterations

    def read(self, features: Tensor, labels: Tensor) -> tuple[Tensor]:
        products = self.cost * (features @ features.T).double()
        p = dual(products, labels.double(), iterations=self.iterations).to(features.dtype)
        return (self.cost * (labels - p).T @ features,)

    def logits(self, state: tuple[Tensor], features: Tensor) -> Tensor:
        return self.log_scale.exp() * features @ state[0].T


class Point(NamedTuple):
    """A primal-dual point: p and the multipliers λ of p ≥ 0, [n, ways] each, and ν of the sums, [n, 1]."""

    p: Tensor
    multipliers: Tensor
    sums: Tensor


def dual(products: Tensor, labels: Tensor, *, iterations: int) -> Tensor:
    """The dual solution p [n, ways] of the support vector machine: w = C(Y − p)ᵀF, with rows of p on the simplex.

    With α = C(Y − p), the paper's dual is min_p ½⟨p − Y, G(p − Y)⟩ + ⟨p, Y⟩ over the simplex for each row (image), with
    `products` G = C·FFᵀ [n, n] and one-hot labels Y.

    The primal-dual method reduces μ = p·λ to `TOLERANCE` without gradients. At its fixed point the optimality
    conditions hold, so that the derivative is that of two further Newton steps, the first of which is exact to first
    order and the second to third order. Memory and accuracy do not depend on the number of iterations.
    """
    target = torch.full_like(labels, TOLERANCE)
    with torch.no_grad():
        fixed, uniform = products.detach(), torch.full_like(labels, 1 / labels.shape[1])
        point = Point(uniform, torch.ones_like(labels), torch.zeros_like(labels[:, :1]))
        for _ in range(iterations):
            gap = (point.p * point.multipliers).mean()
            move = newton(point, fixed, labels, target.clamp(min=0.1 * gap))
            fall = torch.cat([-move.p / point.p, -move.multipliers / point.multipliers]).amax()
            length = 0.99 / fall.clamp(min=0.99)  # at most a full step, and keep p and λ above 0
            point = Point(*(now + length * change for now, change in zip(point, move, strict=True)))
    for _ in range(2):
        move = newton(point, products, labels, target)
        point = Point(*(now + change for now, change in zip(point, move, strict=True)))
    return point.p


def newton(point: Point, products: Tensor, labels: Tensor, gap: Tensor) -> Point:
    """The Newton step for G(p − Y) + Y − λ + ν = 0, Σ_k p = 1, p·λ = gap.

    After elimination of λ: (G ⊗ I + λ/p) dp + dν = −r, Σ_k dp = 1 − Σ_k p, which are n·ways + n equations.
    """
    n, ways = labels.shape
    p, multipliers, sums = point
    each, within = labels.new_ones(n).diag(), labels.new_ones(ways).diag()
    slope = products @ (p - labels) + labels + sums
    hessian = torch.kron(products, within) + torch.diag_embed((multipliers / p).flatten())
    rows = torch.kron(each, labels.new_ones(1, ways))  # [n, n·ways]: sums over classes
    system = torch.cat([torch.cat([hessian, rows.T], 1), torch.cat([rows, torch.zeros_like(each)], 1)])
    right = torch.cat([(gap / p - slope).flatten(), 1 - p.sum(1)])
    solution = torch.linalg.solve(system, right)
    change = solution[: n * ways].view(n, ways)
    return Point(change, gap / p - multipliers - multipliers / p * change, solution[n * ways :, None])
