"""Reptile (Nichol et al. 2018): move the initialisation towards the adapted states."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.func import vmap
from torch.utils._pytree import tree_leaves, tree_map

from metarl.algorithms.base import Algorithm
from metarl.core import Episodes, Learner, Tree
from metarl.parts import over_parts, split


class Reptile(Algorithm):
    """θ ← θ + ε·mean_T(θ'_T − θ), with ε falling linearly from `rate` to `rate_end` over `iterations` (algorithm 2).

    The query is not used. With policy gradients give the learner 2 or more inner steps, each on fresh trajectories:
    with one step this is joint training on all tasks.
    """

    uses_query = False

    def __init__(
        self,
        learner: Learner,
        *,
        rate: float = 1.0,
        rate_end: float = 0.0,
        iterations: int = 1000,
        chunk: int | None = None,
    ) -> None:
        super().__init__(learner, chunk=chunk)
        if iterations < 1:
            raise ValueError(f"iterations is {iterations}: the outer step size falls over at least one")
        self.rate, self.rate_end, self.iterations, self.count = rate, rate_end, iterations, 0

    def update(self, episodes: Episodes) -> dict[str, float]:
        done = min(self.count / self.iterations, 1.0)
        rate = self.rate + (self.rate_end - self.rate) * done
        parameters = list(self.learner.parameters())

        def part(learner: Learner, part_and_share: tuple[Episodes, float]) -> list[Tensor | None]:
            """share·(θ − mean_T(θ'_T)) of some tasks, by parameter."""
            part, share = part_and_share
            with torch.no_grad():
                last: Tree = vmap(lambda support: learner.states(support)[-1])(part.support)
            mean = tree_map(lambda leaf: leaf.mean(0), last)
            pairs = zip(tree_leaves(learner.init()), tree_leaves(mean), strict=True)
            half_squared_distance = sum((0.5 * (init - goal).square().sum() for init, goal in pairs), torch.tensor(0.0))
            return list(torch.autograd.grad(share * half_squared_distance, parameters, allow_unused=True))

        gradients = [torch.zeros_like(p) for p in parameters]
        for found in over_parts(part, self.learner, list(split(episodes, self.chunk))):
            for total, grad in zip(gradients, found, strict=True):
                if grad is not None:
                    total.add_(grad)
        norm = self._assign_gradient(gradients)
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.sub_(gradient, alpha=rate)
        self.count += 1
        return {"distance": norm, "outer_rate": rate}

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.count = state["count"]
