"""Descent on MAML++'s multi-step loss, which becomes MAML's during training (Antoniou et al. 2019)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from torch.nn import Parameter
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from metarl.algorithms.base import exclusive
from metarl.algorithms.descent import Descent
from metarl.core import Episodes, Learner, Loss
from metarl.objectives import every, final
from metarl.ranges import Count, Whole, check, checked


class MultiStep(Descent):
    """`Descent` on Σ_k v_k·(query loss after inner step k + 1) (Antoniou et al. 2019, eq. 4).

    The weights v start equal. Over the first `annealing` updates all but the last fall linearly to 0, and the last
    rises so that their sum stays 1; from then on the query loss after the last step is all that is computed.
    """

    @checked
    def __init__(
        self,
        learner: Learner,
        loss: Loss,
        *,
        annealing: Count,
        optimizer: Callable[[Iterable[Parameter]], Optimizer],
        scheduler: Callable[[Optimizer], LRScheduler] | None = None,
        freeze: str = "",
        chunk: Count | None = None,
    ) -> None:
        super().__init__(learner, final(loss), optimizer=optimizer, scheduler=scheduler, freeze=freeze, chunk=chunk)
        if learner.steps < 1:
            raise ValueError("the learner takes no inner step, and the loss after each is what counts: give some steps")
        self.loss, self.annealing, self.count = loss, annealing, 0

    def weights(self) -> list[float]:
        """v before the next update."""
        steps = self.learner.steps
        early = max(1 - self.count / self.annealing, 0.0) / steps
        return [early] * (steps - 1) + [1 - (steps - 1) * early]

    @exclusive
    def update(self, episodes: Episodes) -> dict[str, float]:
        annealed = self.count >= self.annealing
        self.objective = final(self.loss) if annealed else every(self.loss, self.weights())
        metrics = super().update(episodes)
        self.count += 1
        return metrics

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        check(Whole, state["count"], "count")
        self.count = state["count"]
