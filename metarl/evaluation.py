"""Evaluation: how good a learner is on unseen tasks after 0 … K inner steps."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import torch
from torch import Tensor

from metarl.core import Distribution, Learner, adapt
from metarl.parts import fitting
from metarl.ranges import Count, Whole, checked, shown
from metarl.sampling import sampled
from metarl.train import Stream, generator


@checked
def evaluate(
    learner: Learner,
    tasks: Distribution,
    *,
    steps: Whole,
    num_tasks: Count,
    rng: Whole | np.random.Generator = 0,
    at: Collection[int] | None = None,
    chunk: Count | None = None,
) -> np.ndarray:
    """Scores [steps + 1, num_tasks] in the `metric` of `tasks`, each step's from fresh data of the same sampled tasks.

    `rng` is a generator, or the seed of held-out tasks, whose random numbers no training shares. With `at`, only the
    scores after these numbers of steps, [len(at), num_tasks], rising: scoring costs as much as a step.
    Raises ValueError for more tasks than the machine's memory can hold.
    """
    if at is not None and not (len(at) and all(k in range(steps + 1) for k in at)):
        raise ValueError(f"at is {at}: give numbers of steps from 0 to {steps}")
    batch = sampled(tasks, num_tasks, rng if isinstance(rng, np.random.Generator) else generator(Stream.TEST, int(rng)))
    scores = []
    with torch.no_grad():
        for k, (predict, _) in enumerate(adapt(learner, batch, steps=steps, chunk=chunk)):
            if at is None or k in at:
                with fitting(learner, ()):
                    scores.append(batch.score(predict))
                if not isinstance(scores[-1], Tensor) or scores[-1].shape != (num_tasks,):
                    raise ValueError(f"score returned {shown(scores[-1])}: return a tensor [{num_tasks}], one a task")
    return torch.stack(scores).cpu().double().numpy()
