"""Evaluation: how good a learner is on unseen tasks after 0 … K inner steps."""

from __future__ import annotations

from collections.abc import Collection

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
    at: Collection[int] | None = None,
    chunk: int | None = None,
) -> np.ndarray:
    """Scores [steps + 1, tasks] in the distribution's `metric`, each step's from fresh data of the same tasks.

    With `at`, only the scores after these numbers of steps, [len(at), tasks], rising: scoring costs as much as a step.
    """
    for name, value, least in (("steps", steps, 0), ("tasks", tasks, 1)):
        if value < least:
            raise ValueError(f"{name} is {value}: evaluation needs at least {least}")
    if at is not None and not (at and set(at) <= set(range(steps + 1))):
        raise ValueError(f"at is {at}: give numbers of steps from 0 to {steps}")
    batch = distribution.sample(tasks, rng)
    with torch.no_grad():
        adapted = enumerate(adapt(learner, batch, steps=steps, chunk=chunk))
        scores = [batch.score(predict) for k, (predict, _) in adapted if at is None or k in at]
    return torch.stack(scores).cpu().double().numpy()
