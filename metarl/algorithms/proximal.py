"""ProMP: several epochs on the same episodes, with a clipped surrogate and a KL penalty (Rothfuss et al. 2019)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Annotated

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from metarl.algorithms.base import Divergence, exclusive
from metarl.algorithms.descent import Descent
from metarl.core import Episodes, Learner, Objective, Predict, Tree, meta_gradient, meta_gradient_and_outputs
from metarl.distributed import of_all_tasks
from metarl.objectives import final, learner_loss
from metarl.ranges import Count, NonNegative, Positive, Range, checked
from metarl.rl.losses import clipped_surrogate, mean_kl, surrogate
from metarl.sums import weighted


class ProMP(Descent):
    """Several optimiser steps on the objective plus a penalty on the divergence (Rothfuss et al. 2019, eq. 10 and 11).

    The default objective is the learner's own loss on the query after the last inner step; of the policy-gradient
    surrogate, the clipped form is used. The penalty is the sum over inner steps of the divergence of the current
    policies from those that collected the support batches. The optimiser, its learning rate and `freeze` are as in
    `Descent`.

    Args:
        lr: learning rate of Adam in the outer loop; the default is 1e-3
        lr_end: learning rate to which lr is annealed linearly over the iterations; by default lr is constant
        iterations: number of updates over which the learning rate is annealed
        clip: ε of the clipped surrogate, which is flat for likelihood ratios outside of 1 ± ε
        epochs: optimiser steps on the same episodes
        penalty: coefficient of the divergence
        freeze: the start of the names of parameters that are not meta-learned
    """

    compilable = False  # later steps of an update need what the first one recorded

    @checked
    def __init__(
        self,
        learner: Learner,
        objective: Objective | None = None,
        divergence: Divergence = mean_kl,
        *,
        clip: Annotated[float, Range(0, 1, above=True)] = 0.3,
        lr: Positive | None = None,
        lr_end: NonNegative | None = None,
        iterations: Count | None = None,
        optimizer: Callable[[Iterable[Parameter]], Optimizer] | None = None,
        scheduler: Callable[[Optimizer], LRScheduler] | None = None,
        epochs: Annotated[int, Range(1, 10_000)] = 5,
        penalty: NonNegative = 5e-4,
        freeze: str = "",
        chunk: Count | None = None,
    ) -> None:
        if objective is None and learner_loss(learner) is surrogate:
            objective = final(clipped_surrogate(clip))
        super().__init__(
            learner, objective, lr=lr, lr_end=lr_end, iterations=iterations, optimizer=optimizer, scheduler=scheduler,
            freeze=freeze, chunk=chunk,
        )  # fmt: skip
        if learner.steps < 1:
            raise ValueError("the learner takes no inner step, and the penalty needs support batches: give it steps")
        self.divergence, self.epochs, self.penalty = divergence, epochs, penalty

    @exclusive
    def update(self, episodes: Episodes) -> dict[str, float]:
        # the first epoch has no penalty, because the divergence and its gradient are 0 before the first step
        loss, gradients, old = meta_gradient_and_outputs(self.learner, episodes, self._first, chunk=self.chunk)
        metrics = {"loss": loss, "gradient_norm": self._assign_gradient(gradients)}
        self.optimizer.step()
        recorded = episodes._replace(old=old)
        for _ in range(self.epochs - 1):
            _, gradients = meta_gradient(self.learner, recorded, self.penalised, chunk=self.chunk)
            self._assign_gradient(gradients)
            self.optimizer.step()
        if self.scheduler:
            self.scheduler.step()
        return {**metrics, "kl": self._kl(episodes.support, old)}

    def _first(self, predicts: Sequence[Predict], episode: Episodes) -> tuple[Tensor, list[Tree]]:
        """The objective, and the outputs of each adapted model on the support batch of its inner step."""
        output = [predict(batch[0]) for predict, batch in zip(predicts, episode.support, strict=False)]
        return self.objective(predicts, episode), output

    def penalised(self, predicts: Sequence[Predict], episode: Episodes) -> Tensor:
        """The objective with the penalty; the episode's `old` outputs are those on its support batches."""
        objective = self.objective(predicts, episode)
        return objective + self.penalty * self._divergence(predicts, episode.support, episode.old)

    @torch.no_grad()
    def _kl(self, support: tuple[Tree, ...], old: list[Tree]) -> float:
        """The mean over tasks of the current Σ_k divergence. The last inner step is not needed for it and omitted."""
        divergences = self.learner(
            Episodes(support[:-1], support, old),
            lambda predicts, episode: self._divergence(predicts, episode.query, episode.old),
            chunk=self.chunk,
        )
        return float(of_all_tasks(divergences).mean())

    def _divergence(self, predicts: Sequence[Predict], support: tuple[Tree, ...], old: list[Tree]) -> Tensor:
        """Σ_k of the divergence of the outputs before inner step k from the old ones, on the support of step k."""
        triples = zip(predicts, support, old, strict=False)
        terms = [self.divergence(predict(batch[0]), output, batch) for predict, batch, output in triples]
        return weighted(terms, (1.0,) * len(terms), "the divergence")
