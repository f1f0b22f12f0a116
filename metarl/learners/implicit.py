"""Implicit MAML: meta-gradients that depend only on the result of the inner loop (Rajeswaran et al. 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import grad, vjp
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

from metarl.adaptable import check_second_derivatives
from metarl.core import Learner, Loss, Tree
from metarl.learners.gradient import GradientLearner
from metarl.ranges import Count, Positive, Whole, checked
from metarl.vectors import conjugate_gradient, flatten, quotient, unflatten


class IMAML(GradientLearner):
    """Implicit MAML: the inner loop minimises L_support(φ) + λ/2‖φ − θ‖² by gradient descent from θ.

    The outer loop does not differentiate through the descent (Rajeswaran et al. 2019, eq. 3). At the minimum φ*,
    dφ*/dθ = (I + H/λ)⁻¹, with H the Hessian of the support loss (lemma 1). The product of this matrix with the query's
    gradient is computed by conjugate gradient (algorithm 2), so that memory does not grow with the number of steps.
    The meta-gradient is exact if both have converged. The state after each inner step is differentiated as if it were
    the minimum for that step's batch.

    The defaults are those of the paper's code for Omniglot; that code also adds damping to the matrix.

    As inner steps are not differentiated, training does not limit the curvature of the loss, and the descent may
    diverge. Then use `cautious=True`: no step is longer than the one that minimises a quadratic model of the inner
    objective along its direction (the Cauchy step, which costs one Hessian product).

    Args:
        steps: number of inner steps
        lr: inner learning rate, or one for each step; the last holds for further steps
        strength: regularisation λ
        cg_steps: number of conjugate-gradient steps for the meta-gradient
        cautious: limit each inner step to the minimum along its direction
    """

    @checked
    def __init__(
        self,
        net: nn.Module,
        loss: Loss,
        *,
        steps: Whole = 16,
        lr: Positive | Sequence[Positive] = 0.1,
        strength: Positive = 2.0,
        cg_steps: Count = 5,
        cautious: bool = False,
    ) -> None:
        check_second_derivatives(net)
        super().__init__(net, loss, steps=steps, lr=lr)
        self.strength, self.cg_steps, self.cautious = strength, cg_steps, cautious

    def step(self, state: dict[str, Tensor], batch: Any, k: int) -> dict[str, Tensor]:
        slope, start = self.slope(state, batch), self.init()
        direction = {n: slope[n] + self.strength * (state[n] - start[n]) for n in state}
        if self.cautious:
            curved = flatten(vjp(partial(self.slope, batch=batch), state)[1](direction)[0])
            flat = flatten(direction)
            squared = flat @ flat
            model = self.lrs[min(k, len(self.lrs) - 1)] * (flat @ curved + self.strength * squared)
            factor = torch.where(model > squared, quotient(squared, model), 1.0)
            direction = {n: factor * value for n, value in direction.items()}
        return self.descend(state, direction, k)

    def slope(self, state: dict[str, Tensor], batch: Any) -> dict[str, Tensor]:
        """The gradient of the support loss at `state`."""
        return grad(lambda s: self.loss(partial(self.predict, s), batch))(state)

    def states(self, support: Sequence[Tree]) -> list[dict[str, Tensor]]:
        states = [self.init()]
        for k, batch in enumerate(support):
            with torch.no_grad():
                now = self.step({name: value.detach() for name, value in states[-1].items()}, batch, k)
            leaves, spec = tree_flatten(batch)
            end = _Minimum.apply(self, spec, flatten(states[0]), flatten(now), *leaves)
            states.append(unflatten(end, states[0]))
        return states

    batched_forward = Learner.batched_forward  # that of `GradientLearner` differentiates through the steps


class _Minimum(torch.autograd.Function):
    """φ* as a differentiable function of θ, both as vectors: (learner, batch structure, θ, φ*, *batch leaves) to φ*."""

    generate_vmap_rule = True

    @staticmethod
    def forward(learner: IMAML, spec: TreeSpec, start: Tensor, end: Tensor, *leaves: Tensor) -> Tensor:
        return end.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.learner, ctx.spec, _, _, *leaves = inputs
        ctx.save_for_backward(output, *leaves)

    @staticmethod
    def backward(ctx: Any, *target: Tensor) -> tuple[Tensor | None, ...]:
        learner: IMAML = ctx.learner
        end, *leaves = ctx.saved_tensors
        batch = tree_unflatten(leaves, ctx.spec)
        curvature = vjp(lambda vector: flatten(learner.slope(unflatten(vector, learner.init()), batch)), end)[1]
        solved, _ = conjugate_gradient(
            lambda vector: vector + curvature(vector)[0] / learner.strength, target[0], steps=learner.cg_steps
        )
        return (None, None, solved, None, *[None for _ in leaves])
