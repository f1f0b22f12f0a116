"""Gradient descent on the meta-objective with any torch optimiser: MAML as Finn et al. 2017 train it, with Adam."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch.nn import Parameter
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from metarl.algorithms.base import Algorithm, exclusive
from metarl.core import Episodes, Learner, Objective, meta_gradient
from metarl.objectives import final, own_loss
from metarl.ranges import Count, Positive, check, checked


class Descent(Algorithm):
    """θ ← θ − optimiser(∇ mean_T objective) (MAML, algorithm 1 and 2, line "meta-update").

    The objective is the learner's own loss on the query after the last inner step, unless another is given. The
    optimiser is Adam with the learning rate `lr` (default 1e-3), or what `optimizer` makes of the parameters:
    `lambda p: torch.optim.SGD(p, lr=0.1)`. `scheduler`, if any, makes a torch learning-rate scheduler from the
    optimiser; it steps once an update. Parameters whose name starts with
    `freeze` are not learned: "net.head", say, the last layer of a classifier whose labels are drawn anew for each task,
    and whose meta-gradient is but noise (the zeroing trick of Kao et al. 2022). A fixed head that the inner loop adapts
    is set to 0 when this is made, whatever it was before; other fixed parameters stay as they are.

    Raises ValueError when `freeze` matches no parameter.
    """

    @checked
    def __init__(
        self,
        learner: Learner,
        objective: Objective | None = None,
        *,
        lr: Positive | None = None,
        optimizer: Callable[[Iterable[Parameter]], Optimizer] | None = None,
        scheduler: Callable[[Optimizer], LRScheduler] | None = None,
        freeze: str = "",
        chunk: Count | None = None,
    ) -> None:
        super().__init__(learner, chunk=chunk)
        if lr is not None and optimizer is not None:
            raise ValueError(f"lr is {lr} and an optimizer is given, which has its own: give one of the two")
        make = optimizer or partial(torch.optim.Adam, lr=lr or 1e-3)
        self.objective, self.optimizer = objective or final(own_loss(learner)), make(self._moved(freeze))
        check(Optimizer, self.optimizer, "what optimizer returns")
        self.scheduler = scheduler(self.optimizer) if scheduler else None
        check(LRScheduler | None, self.scheduler, "what scheduler returns")

    @exclusive
    def update(self, episodes: Episodes) -> dict[str, float]:
        loss, gradients = meta_gradient(self.learner, episodes, self.objective, chunk=self.chunk)
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
