"""Proximal meta-update: several clipped, penalised epochs on the same episodes (ProMP, Rothfuss et al. 2019)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from metarl.algorithms.base import Algorithm, Divergence
from metarl.core import Episodes, Learner, Loss, Predict, Tree, meta_gradient


class Proximal(Algorithm):
    """`epochs` optimiser steps on mean_T loss + `penalty`·Σ_k divergence before inner step k (ProMP, eq. 10 and 11).

    For policies `loss` is the clipped ratio surrogate on the query and `divergence` the KL from the policies that
    collected the support batches, as in the paper; any other loss and divergence of outputs serves as well.
    """

    def __init__(
        self,
        learner: Learner,
        loss: Loss,
        divergence: Divergence,
        *,
        optimizer: Callable[[Iterable[Parameter]], Optimizer],
        epochs: int = 5,
        penalty: float = 5e-4,
        chunk: int | None = None,
    ) -> None:
        super().__init__(learner, chunk=chunk)
        if epochs < 1:
            raise ValueError(f"epochs is {epochs}: an update takes at least one")
        self.loss, self.divergence, self.epochs, self.penalty = loss, divergence, epochs, penalty
        self.optimizer = optimizer(learner.parameters())

    def update(self, episodes: Episodes) -> dict[str, float]:
        with torch.no_grad():
            old = self.learner(episodes, supports, chunk=self.chunk)
        judged = episodes._replace(query=(episodes.query, old))
        metrics: dict[str, float] = {}
        for _ in range(self.epochs):
            loss, gradients = meta_gradient(self.learner, judged, self.objective, chunk=self.chunk)
            norm = self._assign_gradient(gradients)
            self.optimizer.step()
            metrics = metrics or {"loss": loss, "gradient_norm": norm}
        with torch.no_grad():
            kl = self.learner(judged, self.change, chunk=self.chunk)
        return {**metrics, "kl": float(kl.mean())}

    def objective(self, predicts: Sequence[Predict], episode: Episodes) -> Tensor:
        return self.loss(predicts[-1], episode.query[0]) + self.penalty * self.change(predicts, episode)

    def change(self, predicts: Sequence[Predict], episode: Episodes) -> Tensor:
        """Σ_k divergence of the predictions before inner step k from the recorded ones, on the support of step k."""
        new, old = supports(predicts, episode), episode.query[1]
        terms = [self.divergence(n, o, batch) for n, o, batch in zip(new, old, episode.support, strict=True)]
        return torch.stack(terms).sum()

    def state_dict(self) -> dict[str, Any]:
        return self.optimizer.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.optimizer.load_state_dict(state)


def supports(predicts: Sequence[Predict], episode: Episodes) -> tuple[Tree, ...]:
    """What each predictor says of the support batch that its own step is taken on."""
    return tuple(predict(batch[0]) for predict, batch in zip(predicts, episode.support, strict=False))
