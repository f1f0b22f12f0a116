"""Reptile: the initialisation moves towards the adapted parameters (Nichol et al. 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import torch
from torch import Tensor
from torch.func import vmap
from torch.utils._pytree import tree_leaves, tree_map

from metarl.algorithms.base import Algorithm, check_decay, exclusive
from metarl.core import Episodes, Learner, Tree
from metarl.parts import map_parts, split_weighted
from metarl.ranges import Count, Range, UnitInterval, Whole, check, checked
from metarl.sums import sum_gradients, sum_tensors


class Reptile(Algorithm):
    """θ ← θ + ε·mean_T(θ'_T − θ), where θ'_T are the adapted parameters of task T (Nichol et al. 2018, algorithm 2).

    Args:
        lr: outer learning rate ε, the fraction of the way from θ to the mean of the adapted parameters
        lr_end: outer learning rate to which lr is annealed linearly over the iterations; by default lr is constant
        iterations: number of updates over which the outer learning rate is annealed
        freeze: the start of the names of parameters that are not meta-learned; net.head is a classifier's last layer

    Buffers in the learner's initial state, the moments of `metarl.learners.adam`, are set to their mean over the tasks
    after the last step. A frozen head starts at 0, as in `Descent`, because its mean over tasks would be noise. The
    query is not used. With policy gradients, give the learner at least 2 inner steps, each on new trajectories; with
    one step, this is equivalent to joint training on all tasks.
    """

    uses_query = False

    @checked
    def __init__(
        self,
        learner: Learner,
        *,
        lr: Annotated[float, Range(0, 1, above=True)] = 1.0,
        lr_end: UnitInterval | None = None,
        iterations: Count | None = None,
        freeze: str = "",
        chunk: Count | None = None,
    ) -> None:
        super().__init__(learner, chunk=chunk)
        if lr_end is not None:
            check_decay(lr, lr_end, iterations)
        lr_end = lr if lr_end is None else lr_end
        if learner.steps < 1 or not any(leaf.requires_grad for leaf in tree_leaves(learner.init())):
            raise ValueError(
                f"Reptile moves parameters towards their adapted values, and {type(learner).__name__} with "
                f"{learner.steps} inner steps adapts none: give it steps, or use another outer loop"
            )
        self.trainable = self._trainable(freeze)
        self.lr, self.lr_end, self.iterations, self.count = lr, lr_end, iterations or 1, 0

    @exclusive
    def update(self, episodes: Episodes) -> dict[str, float]:
        passed = min(self.count / self.iterations, 1.0)
        lr = self.lr + (self.lr_end - self.lr) * passed
        parameters, buffers = list(self.learner.parameters()), {id(buffer) for buffer in self.learner.buffers()}

        def part(
            learner: Learner, part_and_weight: tuple[Episodes, float]
        ) -> tuple[Sequence[Tensor | None], list[Tensor]]:
            """weight·(θ − mean_T(θ'_T)) for some tasks, by parameter, and weight·(mean_T of buffers in the state)."""
            part, weight = part_and_weight
            with torch.no_grad():
                last: Tree = vmap(lambda support: learner.states(support)[-1])(part.support)
            mean = tree_map(lambda leaf: leaf.mean(0), last)
            pairs = list(zip(tree_leaves(learner.init()), tree_leaves(mean), strict=True))
            half_squared_distance = sum((0.5 * (init - goal).square().sum() for init, goal in pairs), torch.tensor(0.0))
            found = torch.autograd.grad(weight * half_squared_distance, parameters, allow_unused=True)
            return found, [weight * goal for init, goal in pairs if id(init) in buffers]

        done = map_parts(part, self.learner, split_weighted(episodes, self.chunk))
        norm = self._assign_gradient(sum_gradients((found for found, _ in done), parameters))
        with torch.no_grad():
            for parameter in self.trainable:
                assert parameter.grad is not None
                parameter.sub_(parameter.grad, alpha=lr)
            held = [leaf for leaf in tree_leaves(self.learner.init()) if id(leaf) in buffers]
            for buffer, *means in zip(held, *(means for _, means in done), strict=True):
                buffer.copy_(sum_tensors(means))
        self.count += 1
        return {"distance": norm, "outer_lr": lr}

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        check(Whole, state["count"], "count")
        self.count = state["count"]
