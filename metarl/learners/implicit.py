"""Implicit MAML: a meta-gradient from the end of the inner loop alone (Rajeswaran et al. 2019)."""

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
    """φ* = argmin L_support(φ) + λ/2‖φ − θ‖², by `steps` of gradient descent from θ (Rajeswaran et al. 2019, eq. 3).

    No derivative goes through the descent. At the minimum dφ*/dθ = (I + H/λ)⁻¹, with H the Hessian of the support loss
    (lemma 1); its product with the query's gradient is solved for by `cg_steps` of conjugate gradients (algorithm 2).
    So the memory does not grow with the steps, and the meta-gradient is exact as far as both loops have converged. The
    state after each step is differentiated as though it were the minimum for that step's batch.

    `lr` is the descent's step size, `strength` is λ. The defaults are those of the paper's code for Omniglot; that
    code also adds a damping to the matrix, which the paper and this do not.

    Unlike MAML's, the inner steps are not differentiated, and nothing keeps the curvature low enough for them. Where
    the descent diverges, let it be `cautious`: no step is then longer than what minimises the objective along it by
    its second derivative (Cauchy's step, for one Hessian product more), and `lr` is but the limit.
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
            bent = flatten(vjp(partial(self.slope, batch=batch), state)[1](direction)[0])
            flat = flatten(direction)
            squared = flat @ flat
            model = self.lrs[min(k, len(self.lrs) - 1)] * (flat @ bent + self.strength * squared)
            share = torch.where(model > squared, quotient(squared, model), 1.0)
            direction = {n: share * value for n, value in direction.items()}
        return self.descend(state, direction, k)

    def slope(self, state: dict[str, Tensor], batch: Any) -> dict[str, Tensor]:
        """∇L_support."""
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

    batched_forward = Learner.batched_forward  # the faster form of `GradientLearner` differentiates through its steps


class _Minimum(torch.autograd.Function):
    """φ* as a function of θ, both flat, of one task: (learner, the batch's form, θ, φ*, *the batch's leaves) to φ*."""

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
