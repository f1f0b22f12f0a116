"""Evaluation: how good a learner is on unseen tasks after 0 … K inner steps."""

from __future__ import annotations

import numpy as np
import torch

from metarl.core import Distribution, Learner, adapt


def evaluate(
    learner: Learner,
    distribution: Distribution,
    *,
    steps: int,
    tasks: int,
    rng: np.random.Generator,
    chunk: int | None = None,
) -> np.ndarray:
    """Scores [steps + 1, tasks] in the distribution's `metric`, each step's from fresh data of the same tasks."""
    for name, value, least in (("steps", steps, 0), ("tasks", tasks, 1)):
        if value < least:
            raise ValueError(f"{name} is {value}: evaluation needs at least {least}")
    batch = distribution.sample(tasks, rng)
    with torch.no_grad():
        scores = [batch.score(predict) for predict, _ in adapt(learner, batch, steps=steps, chunk=chunk)]
    return torch.stack(scores).cpu().double().numpy()
