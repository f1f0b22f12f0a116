"""Evaluation: scores of a learner on held-out tasks after 0 … K inner steps."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import torch
from torch import Tensor

from metarl.core import Distribution, Learner, adapt
from metarl.parts import readable_errors
from metarl.ranges import Count, Whole, checked, shown
from metarl.sampling import sample_tasks
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
    """Scores [steps + 1, num_tasks], in the `metric` of `tasks`, of `learner` after 0 … `steps` inner steps.

    `num_tasks` tasks are sampled once; every score is computed on new data of these tasks. `rng` is a generator, or the
    seed of one whose random numbers training never uses. `at` restricts scoring, which costs about as much as a step,
    to these numbers of steps; the result is then [len(at), num_tasks], in increasing order of steps. `chunk` bounds the
    number of tasks that are adapted at a time. Raises ValueError for more tasks than fit into the machine's memory.
    """
    if at is not None and not (len(at) and all(k in range(steps + 1) for k in at)):
        raise ValueError(f"at is {at}: give numbers of steps from 0 to {steps}")
    numbers = rng if isinstance(rng, np.random.Generator) else generator(Stream.TEST, int(rng))
    batch = sample_tasks(tasks, num_tasks, numbers)
    scores = []
    with torch.no_grad():
        for k, (predict, _) in enumerate(adapt(learner, batch, steps=steps, chunk=chunk)):
            if at is None or k in at:
                with readable_errors(learner, ()):
                    scores.append(batch.score(predict))
                if not isinstance(scores[-1], Tensor) or scores[-1].shape != (num_tasks,):
                    raise ValueError(f"score returned {shown(scores[-1])}: return a score for each task, [{num_tasks}]")
    return torch.stack(scores).cpu().double().numpy()
