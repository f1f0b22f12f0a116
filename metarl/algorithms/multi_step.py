"""Gradient descent on the multi-step loss of MAML++ (Antoniou et al. 2019)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler

from metarl.algorithms.base import exclusive
from metarl.algorithms.descent import Descent
from metarl.core import Episodes, Learner, Loss
from metarl.objectives import final, learner_loss, multi_step
from metarl.ranges import Count, NonNegative, Positive, UnitInterval, Whole, check, checked


class MultiStep(Descent):
    """`Descent` on the multi-step loss Σ_k v_k·(query loss after inner step k + 1) (Antoniou et al. 2019, eq. 4).

    The weights v are equal at first. All but the last are annealed linearly to 0 in the fraction `annealing` of the
    updates, and the last increases so that their sum is 1; from then on only the query loss after the last step is
    computed. The default loss is the learner's own.

    Args:
        lr: learning rate of Adam in the outer loop
        lr_end: learning rate to which lr is annealed along a cosine over the iterations
        iterations: number of updates
        annealing: fraction of the iterations after which only the loss after the last inner step counts
        freeze: the start of the names of parameters that are not meta-learned; net.head is a classifier's last layer
    """

    @checked
    def __init__(
        self,
        learner: Learner,
        loss: Loss | None = None,
        *,
        iterations: Count,
        lr: Positive = 1e-3,
        lr_end: NonNegative = 1e-5,
        annealing: UnitInterval = 0.15,
        freeze: str = "",
        chunk: Count | None = None,
    ) -> None:
        loss = loss or learner_loss(learner)
        super().__init__(
            learner, final(loss), lr=lr, lr_end=lr_end, iterations=iterations, freeze=freeze, chunk=chunk
        )
        if learner.steps < 1:
            raise ValueError("the learner takes no inner step, and the loss needs at least one: give it steps")
        self.loss, self.annealing, self.count = loss, max(1, round(annealing * iterations)), 0

    def decay(self, lr: float, lr_end: float, iterations: int) -> Callable[[Optimizer], LRScheduler]:
        """A scheduler that anneals the learning rate along a cosine from `lr` to `lr_end` in `iterations` updates."""
        return lambda optimizer: CosineAnnealingLR(optimizer, iterations, eta_min=lr_end)

    def weights(self) -> list[float]:
        """The weights v of the next update."""
        steps = self.learner.steps
        early = max(1 - self.count / self.annealing, 0.0) / steps
        return [early] * (steps - 1) + [1 - (steps - 1) * early]

    @exclusive
    def update(self, episodes: Episodes) -> dict[str, float]:
        annealed = self.count >= self.annealing
        self.objective = final(self.loss) if annealed else multi_step(self.loss, self.weights())
        metrics = super().update(episodes)
        self.count += 1
        return metrics

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        check(Whole, state["count"], "count")
        self.count = state["count"]
