"""Gradient descent on the meta-objective with a torch optimiser, such as Adam in MAML (Finn et al. 2017)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch.nn import Parameter
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LinearLR, LRScheduler

from metarl.algorithms.base import Algorithm, check_decay, check_steps, exclusive
from metarl.core import Episodes, Learner, Objective
from metarl.objectives import final, learner_loss, multi_step
from metarl.ranges import Count, NonNegative, Positive, check, checked


class Descent(Algorithm):
    """Gradient descent on the mean of the objective over the tasks, by default with Adam (MAML, algorithms 1 and 2).

    The default objective is the learner's own loss on the query after the last inner step.

    Args:
        lr: learning rate of Adam in the outer loop; the default is 1e-3
        lr_end: learning rate to which lr is annealed linearly over the iterations; by default lr is constant
        iterations: number of updates over which the learning rate is annealed
        step_weights: weights of the query losses after each inner step; by default only the last counts, as in MAML
        optimizer: a function from the parameters to another torch optimiser, `lambda p: torch.optim.SGD(p, lr=0.1)`
        scheduler: a function from the optimiser to a torch learning-rate scheduler, which steps once per update
        freeze: the start of the names of parameters that are not meta-learned; net.head is a classifier's last layer

    Freezing a classifier's head helps if classes are assigned to labels at random in each task, because its
    meta-gradient is then noise (Kao et al. 2022). A frozen head that the inner loop adapts is set to 0 here; other
    frozen parameters keep their values. Raises ValueError if `freeze` matches no parameter.
    """

    compilable = True

    @checked
    def __init__(
        self,
        learner: Learner,
        objective: Objective | None = None,
        *,
        lr: Positive | None = None,
        lr_end: NonNegative | None = None,
        iterations: Count | None = None,
        step_weights: Sequence[NonNegative] = (),
        optimizer: Callable[[Iterable[Parameter]], Optimizer] | None = None,
        scheduler: Callable[[Optimizer], LRScheduler] | None = None,
        freeze: str = "",
        chunk: Count | None = None,
    ) -> None:
        super().__init__(learner, chunk=chunk)
        for name, value, other in (("lr", lr, optimizer), ("lr_end", lr_end, scheduler)):
            if value is not None and other is not None:
                kind = "an optimizer" if name == "lr" else "a scheduler"
                raise ValueError(f"{name} is {value} and {kind} is given, which sets it: give one of the two")
        if len(step_weights):
            if objective is not None:
                raise ValueError(f"step_weights is {step_weights} and an objective is given: give one of the two")
            check_steps(step_weights, learner)
            objective = multi_step(learner_loss(learner), step_weights)
        self.objective = objective or final(learner_loss(learner))
        start = 1e-3 if lr is None else lr
        self.optimizer = (optimizer or (lambda p: torch.optim.Adam(p, lr=start)))(self._trainable(freeze))
        check(Optimizer, self.optimizer, "the result of optimizer")
        if lr_end is not None:
            check_decay(start, lr_end, iterations)
            scheduler = self.decay(start, lr_end, iterations or 1)
        self.scheduler = scheduler(self.optimizer) if scheduler else None
        check(LRScheduler | None, self.scheduler, "the result of scheduler")

    def decay(self, lr: float, lr_end: float, iterations: int) -> Callable[[Optimizer], LRScheduler]:
        """A scheduler that anneals the learning rate linearly from `lr` to `lr_end` in `iterations` updates."""
        return lambda optimizer: LinearLR(optimizer, 1.0, lr_end / lr, total_iters=iterations)

    @exclusive
    def update(self, episodes: Episodes) -> dict[str, float]:
        loss, gradients = self.meta_gradient(self.learner, episodes, self.objective, chunk=self.chunk)
        norm = self._assign_gradient(gradients)
        self.optimizer.step()
        if self.scheduler:
            self.scheduler.step()
        return {"loss": loss, "gradient_norm": norm}

    def state_dict(self) -> dict[str, Any]:
        scheduler = self.scheduler.state_dict() if self.scheduler else {}
        return {"optimizer": self.optimizer.state_dict(), "scheduler": scheduler}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scheduler:
            self.scheduler.load_state_dict(state["scheduler"])
