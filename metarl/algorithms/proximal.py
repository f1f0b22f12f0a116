"""Proximal meta-update: several clipped, penalised epochs on the same episodes (ProMP, Rothfuss et al. 2019)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from metarl.algorithms.base import Divergence
from metarl.algorithms.descent import Descent
from metarl.core import Episodes, Learner, Objective, Predict, Tree, meta_gradient


class Proximal(Descent):
    """`epochs` optimiser steps on mean_T objective + `penalty`·Σ_k divergence before inner step k (ProMP, eq. 10, 11).

    For policies the objective is the clipped ratio surrogate on the query and `divergence` the KL from the policies
    that collected the support batches, as in the paper; any other objective and divergence of outputs serves as well.
    """

    def __init__(
        self,
        learner: Learner,
        objective: Objective,
        divergence: Divergence,
        *,
        optimizer: Callable[[Iterable[Parameter]], Optimizer],
        scheduler: Callable[[Optimizer], LRScheduler] | None = None,
        epochs: int = 5,
        penalty: float = 5e-4,
        fixed: str = "",
        chunk: int | None = None,
    ) -> None:
        super().__init__(learner, objective, optimizer=optimizer, scheduler=scheduler, fixed=fixed, chunk=chunk)
        if epochs < 1:
            raise ValueError(f"epochs is {epochs}: an update takes at least one")
        self.divergence, self.epochs, self.penalty = divergence, epochs, penalty

    def update(self, episodes: Episodes) -> dict[str, float]:
        with torch.no_grad():
            old = self.learner(episodes, supports, chunk=self.chunk)
        judged = episodes._replace(query=(episodes.query, old))
        metrics: dict[str, float] = {}
        for _ in range(self.epochs):
            loss, gradients = meta_gradient(self.learner, judged, self.penalised, chunk=self.chunk)
            norm = self._assign_gradient(gradients)
            self.optimizer.step()
            metrics = metrics or {"loss": loss, "gradient_norm": norm}
        if self.scheduler:
            self.scheduler.step()
        with torch.no_grad():
            kl = self.learner(judged, self.change, chunk=self.chunk)
        return {**metrics, "kl": float(kl.mean())}

    def penalised(self, predicts: Sequence[Predict], episode: Episodes) -> Tensor:
        """The objective with the penalty; the episode's query is (query, what `supports` were before)."""
        judged = self.objective(predicts, episode._replace(query=episode.query[0]))
        return judged + self.penalty * self.change(predicts, episode)

    def change(self, predicts: Sequence[Predict], episode: Episodes) -> Tensor:
        """Σ_k divergence of the predictions before inner step k from the recorded ones, on the support of step k."""
        new, old = supports(predicts, episode), episode.query[1]
        terms = [self.divergence(n, o, batch) for n, o, batch in zip(new, old, episode.support, strict=True)]
        return torch.stack(terms).sum()


def supports(predicts: Sequence[Predict], episode: Episodes) -> tuple[Tree, ...]:
    """What each predictor says of the support batch that its own step is taken on."""
    return tuple(predict(batch[0]) for predict, batch in zip(predicts, episode.support, strict=False))
