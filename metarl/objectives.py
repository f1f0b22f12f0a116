"""Objectives: what an outer loop minimises, a scalar function of one task's query losses after its inner steps."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import Tensor

from metarl.core import Episodes, Learner, Loss, Objective, Predict
from metarl.ranges import NonNegative, checked
from metarl.sums import check_weights, weighted


def learner_loss(learner: Learner) -> Loss:
    """The loss that `learner` adapts by. Raises ValueError for a learner without one."""
    loss: Loss | None = getattr(learner, "loss", None)
    if loss is None:
        raise ValueError(f"{type(learner).__name__} has no loss of its own: give one to the outer loop")
    return loss


@checked
def final(loss: Loss) -> Objective:
    """The query loss after the last inner step: MAML's objective (Finn et al. 2017, eq. 1)."""
    return partial(_final, loss=loss)


def _final(predicts: Sequence[Predict], episode: Episodes, *, loss: Loss) -> Tensor:
    return loss(predicts[-1], episode.query)


@checked
def multi_step(loss: Loss, weights: Sequence[NonNegative]) -> Objective:
    """Σ_k weights[k]·(query loss after inner step k + 1): MAML++'s multi-step loss (Antoniou et al. 2019, eq. 4)."""
    check_weights(weights)
    return partial(_multi_step, loss=loss, weights=tuple(weights))


def _multi_step(predicts: Sequence[Predict], episode: Episodes, *, loss: Loss, weights: Sequence[float]) -> Tensor:
    if len(weights) != len(predicts) - 1:
        raise ValueError(f"there are {len(weights)} weights for {len(predicts) - 1} inner steps: give one for each")
    return weighted([loss(predict, episode.query) for predict in predicts[1:]], weights, "the loss")
