"""Evaluation: scores of a learner on held-out tasks after 0 … K inner steps."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import torch
from torch import Tensor

from metarl.core import Distribution, Learner, adapt
from metarl.distributed import of_all_tasks
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
    return evaluate_with_info(learner, tasks, steps=steps, num_tasks=num_tasks, rng=rng, at=at, chunk=chunk)[0]


@checked
def evaluate_with_info(
    learner: Learner,
    tasks: Distribution,
    *,
    steps: Whole,
    num_tasks: Count,
    rng: Whole | np.random.Generator = 0,
    at: Collection[int] | None = None,
    chunk: Count | None = None,
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The scores of `evaluate`, and what else the tasks measured with them, by name, in arrays of the same shape.

    An environment measures what its distribution's `info` names: whether tasks were solved, parts of the reward.
    """
    if at is not None and not (len(at) and all(k in range(steps + 1) for k in at)):
        raise ValueError(f"at is {at}: give numbers of steps from 0 to {steps}")
    numbers = rng if isinstance(rng, np.random.Generator) else generator(Stream.TEST, int(rng))
    batch = sample_tasks(tasks, num_tasks, numbers, chunk)
    scores: list[Tensor] = []
    measured: dict[str, list[Tensor]] = {}
    with torch.no_grad():
        for k, (predict, _) in enumerate(adapt(learner, batch, steps=steps, chunk=chunk)):
            if at is None or k in at:
                with readable_errors(learner, ()):
                    score, info = batch.score_and_info(predict)
                if not isinstance(score, Tensor) or score.shape != (batch.n,):
                    raise ValueError(f"score returned {shown(score)}: return a score for each task, [{batch.n}]")
                scores.append(of_all_tasks(score))
                for name, values in info.items():
                    measured.setdefault(name, []).append(of_all_tasks(values))
    return _rows(scores), {name: _rows(values) for name, values in measured.items()}


def _rows(values: list[Tensor]) -> np.ndarray:
    return torch.stack(values).cpu().double().numpy()
