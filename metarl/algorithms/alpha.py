"""Alpha MAML: the inner and outer learning rates are adapted by hypergradient descent (Behl et al. 2019)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from metarl.algorithms.base import Algorithm, exclusive
from metarl.core import Episodes, Loss, Objective
from metarl.learners.gradient import GradientLearner
from metarl.objectives import final, learner_loss
from metarl.ranges import Count, NonNegative, Positive, Whole, checked
from metarl.vectors import inner


class AlphaLearner(GradientLearner):
    """MAML whose inner learning rate α, one number for all parameters and steps, is a parameter that starts at `lr`.

    Args:
        steps: number of inner steps
        lr: initial value of the inner learning rate α
        first_order: treat the inner gradient as a constant in the outer loop
        rematerialise: recompute inner steps in the backward pass: memory grows with √steps, and time by about a third
    """

    @checked
    def __init__(
        self,
        net: nn.Module,
        loss: Loss,
        *,
        steps: Whole = 1,
        lr: Positive = 0.1,
        first_order: bool = False,
        rematerialise: bool = False,
    ) -> None:
        super().__init__(net, loss, steps=steps, lr=lr, first_order=first_order, rematerialise=rematerialise)
        self.alpha = nn.Parameter(torch.tensor(float(lr)))

    def descend(self, state: dict[str, Tensor], gradients: dict[str, Tensor], k: int) -> dict[str, Tensor]:
        return {name: value - self.alpha * gradients[name] for name, value in state.items()}


class AlphaMAML(Algorithm):
    """θ ← θ − β∇L with hypergradient descent on the learning rates α and β (Behl et al. 2019, algorithm 2).

    L is the mean of `objective` over the tasks. α ← α − `inner_hyper`·∂L/∂α, where −∂L/∂α is the mean of
    ⟨∇L_query(θ'), ∇L_support(θ)⟩ after one inner step, and the derivative through all inner steps otherwise. β starts
    at `lr`; before each update, β ← β + `outer_hyper`·⟨∇L, previous ∇L⟩. The paper has a sum over T tasks instead of
    the mean, which is equivalent to T times β and `inner_hyper`, and T³ times `outer_hyper`. The learning rates may
    become negative. The default objective is the learner's own loss on the query after the last inner step.

    Args:
        lr: initial outer learning rate β
        inner_hyper: learning rate of the hypergradient descent on the inner learning rate
        outer_hyper: learning rate of the hypergradient descent on the outer learning rate
    """

    learner: AlphaLearner
    compilable = True

    @checked
    def __init__(
        self,
        learner: AlphaLearner,
        objective: Objective | None = None,
        *,
        lr: Positive = 0.05,
        inner_hyper: NonNegative = 0.01,
        outer_hyper: NonNegative = 1e-3,
        chunk: Count | None = None,
    ) -> None:
        super().__init__(learner, chunk=chunk)
        self._trainable()
        objective = objective or final(learner_loss(learner))
        self.objective, self.lr, self.inner_hyper, self.outer_hyper = objective, lr, inner_hyper, outer_hyper
        self.previous: Tensor | None = None  # ∇L in the previous update, as a vector

    @exclusive
    def update(self, episodes: Episodes) -> dict[str, float]:
        loss, gradients = self.meta_gradient(self.learner, episodes, self.objective, chunk=self.chunk)
        norm = self._assign_gradient(gradients)
        found = dict(zip(self.learner.parameters(), gradients, strict=True))
        hypergradient = found.pop(self.learner.alpha)
        gradient = torch.cat([slope.flatten() for slope in found.values()])
        if self.previous is not None:
            self.lr += self.outer_hyper * float(inner(gradient, self.previous))
        with torch.no_grad():
            for parameter, slope in found.items():
                parameter.sub_(slope, alpha=self.lr)
            self.learner.alpha.sub_(hypergradient, alpha=self.inner_hyper)
        self.previous = gradient
        return {
            "loss": loss, "gradient_norm": norm, "inner_lr": self.learner.alpha.item(), "outer_lr": self.lr,
        }  # fmt: skip

    def state_dict(self) -> dict[str, Any]:
        return {"lr": self.lr, "previous": self.previous}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.lr, self.previous = state["lr"], state["previous"]
