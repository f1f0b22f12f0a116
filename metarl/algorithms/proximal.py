"""ProMP meta-update: several clipped, penalised epochs on the same episodes (ProMP, Rothfuss et al. 2019)."""

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
from metarl.objectives import final, learner_loss
from metarl.ranges import Count, NonNegative, Positive, Range, checked
from metarl.rl.losses import clipped_surrogate, mean_kl, surrogate
from metarl.sums import weighted


class ProMP(Descent):
    """`epochs` optimiser steps on mean_T objective + `penalty`·Σ_k divergence before inner step k (ProMP, eq. 10, 11).

    The objective is the learner's own loss on the query (a policy-gradient surrogate in its clipped form), unless
    another is given. The divergence is the KL from the policies that collected the support batches, as in the paper, or
    any other of outputs. The optimiser, the learning rates and `freeze` are as in `Descent`.

    Args:
        lr: learning rate of the outer loop's Adam; 1e-3 by default
        lr_end: learning rate at the last of `iterations` updates, to which it goes linearly; by default it is constant
        iterations: number of updates over which the learning rate goes to `lr_end`
        clip: how far the ratio of probabilities may leave 1 before the surrogate is flat
        epochs: optimiser steps on the same episodes
        penalty: weight of the divergence
    """

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
            raise ValueError("the learner takes no inner step, and the divergence is on support batches: give some")
        self.divergence, self.epochs, self.penalty = divergence, epochs, penalty

    @exclusive
    def update(self, episodes: Episodes) -> dict[str, float]:
        # the first epoch has no penalty: where nothing has changed yet, a divergence and its gradient are zero
        loss, gradients, old = meta_gradient_and_outputs(self.learner, episodes, self._first, chunk=self.chunk)
        metrics = {"loss": loss, "gradient_norm": self._assign_gradient(gradients)}
        self.optimizer.step()
        judged = episodes._replace(query=(episodes.query, old))
        for _ in range(self.epochs - 1):
            _, gradients = meta_gradient(self.learner, judged, self.penalised, chunk=self.chunk)
            self._assign_gradient(gradients)
            self.optimizer.step()
        if self.scheduler:
            self.scheduler.step()
        return {**metrics, "kl": self._kl(episodes.support, old)}

    def _first(self, predicts: Sequence[Predict], episode: Episodes) -> tuple[Tensor, list[Tree]]:
        """The objective, and what each predictor says of the support batch that its own step is taken on."""
        output = [predict(batch[0]) for predict, batch in zip(predicts, episode.support, strict=False)]
        return self.objective(predicts, episode), output

    def penalised(self, predicts: Sequence[Predict], episode: Episodes) -> Tensor:
        """The objective with the penalty; the episode's query is (query, what was said of the supports before)."""
        query, old = episode.query
        judged = self.objective(predicts, episode._replace(query=query))
        return judged + self.penalty * self._change(predicts, episode.support, old)

    @torch.no_grad()
    def _kl(self, support: tuple[Tree, ...], old: list[Tree]) -> float:
        """The mean of Σ_k divergence now; the last inner step, after which there is none, is not taken."""
        change = self.learner(
            Episodes(support[:-1], (support, old)),
            lambda predicts, episode: self._change(predicts, *episode.query),
            chunk=self.chunk,
        )
        return float(change.mean())

    def _change(self, predicts: Sequence[Predict], support: tuple[Tree, ...], old: list[Tree]) -> Tensor:
        """Σ_k divergence of the predictions before inner step k from the recorded ones, on the support of step k."""
        triples = zip(predicts, support, old, strict=False)
        terms = [self.divergence(predict(batch[0]), output, batch) for predict, batch, output in triples]
        return weighted(terms, (1.0,) * len(terms), "the divergence")
