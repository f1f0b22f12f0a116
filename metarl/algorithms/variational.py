"""Descent on objectives that are estimated by sampling, such as variational bounds."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from metarl.algorithms.base import exclusive
from metarl.algorithms.descent import Descent
from metarl.core import Episodes
from metarl.distributed import gather, rank


class Noisy(NamedTuple):
    """Labelled samples with random numbers from which an objective is estimated: [T, n, …], or [n, …] for one task."""

    x: Tensor
    y: Tensor
    noise: Tensor  # from a standard normal distribution, [T, n, size] or [n, size]


class VariationalDescent(Descent):
    """Gradient descent on an objective that is estimated from random numbers, which are drawn before the replay.

    The objective receives the query `Noisy(x, y, noise)`, where noise is [n, size] and size is the learner's attribute
    `noise`. They are drawn for the whole meta-batch, so that every replay of the adaptation has the same noise, and
    results do not depend on the number of threads or processes. Raises ValueError for a learner without this attribute.

    Args:
        lr: learning rate of Adam in the outer loop; the default is 1e-3
        lr_end: learning rate to which lr is annealed linearly over the iterations; by default lr is constant
        iterations: number of updates over which the learning rate is annealed
        step_weights: weights of the query losses after each inner step; by default only the loss after the last step
        optimizer: a function from the parameters to another torch optimiser
        scheduler: a function from the optimiser to a torch learning-rate scheduler, which steps once per update
        freeze: the start of the names of parameters that are not meta-learned
    """

    @exclusive
    def update(self, episodes: Episodes) -> dict[str, float]:
        x, y = episodes.query
        size = getattr(self.learner, "noise", None)
        if size is None:
            raise ValueError(f"{type(self.learner).__name__} has no attribute noise: train it by Descent")
        counts = gather(len(y))  # the tasks of each process
        noise = torch.randn(sum(counts), *y.shape[1:], size, dtype=x.dtype).split(counts)[rank()]
        return super().update(episodes._replace(query=Noisy(x, y, noise.to(x.device))))
