"""Evaluation of a run on held-out tasks, and of a random initialisation on the same tasks."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch

from metarl.evaluation import evaluate_with_info
from metarl.experiments.config.settings import Number, Seed, Steps
from metarl.experiments.selection import load_checkpoint
from metarl.ranges import checked
from metarl.run.load import load, load_options
from metarl.statistics import mean_ci95
from metarl.tasks.images import Images
from metarl.train import Stream, generator

log = logging.getLogger(__name__)


@checked
def evaluate_run(
    path: str | Path,
    *,
    steps: Steps | None = None,
    tasks: Number | None = None,
    seed: Seed = 0,
    checkpoint: str = "last",
    transductive: bool = True,
    device: torch.device,
    data: str | None = None,
) -> dict[str, Any]:
    """Evaluate the run `path` (a folder or "pretrained:NAME") on held-out tasks, after 0 … `steps` gradient steps.

    `tasks` tasks are sampled with `seed`. `checkpoint` is "last", "best" (on validation tasks) or a number of
    iterations. Returns the contents of the file that `metarl evaluate --json` writes: the id and the settings of the
    run, and for each number of steps the mean score, its 95 % interval over tasks and the score of each task, both for
    the trained and for a random initialisation on the same tasks. Scores are None where adaptation diverged. A learner
    without gradient steps has one entry, steps [0], which is after reading the support. If `transductive` is False, the
    query images are classified one at a time, each with the support only (see `metarl.tasks.images`). `data` is the
    folder of the images, if it is not the one that was used in training. Raises ValueError for `transductive=False`
    if the tasks are not images.
    """
    trained = load(path, **load_options(device, data))
    run, distribution, learner, tests = trained.folder, trained.tasks, trained.learner, trained.tests
    record = load_checkpoint(trained, checkpoint)
    if not transductive:
        if not isinstance(distribution, Images):
            raise ValueError(f"{path} classifies no images: leave out --no-transductive")
        distribution.transductive = False
    has_steps = learner.gradient_steps
    steps = (tests.steps if steps is None else steps) if has_steps else 1
    tasks = tests.tasks if tasks is None else tasks
    random = trained.untrained(tests.seed + seed + 1)
    result: dict[str, Any] = {
        "run": run.config["run"],
        "preset": run.config["preset"],
        "settings": run.config["settings"],
        "versions": run.config["versions"],
        "iteration": record.iteration,
        "env_steps": int(record.env_steps),
        "train_seconds": round(record.seconds, 1),
        "metric": distribution.metric,
        "steps": list(range(steps + 1)) if has_steps else [0],
    }
    for prefix, evaluated in (("", learner), ("random_", random)):
        rng = generator(Stream.TEST, seed)
        scores, info = evaluate_with_info(
            evaluated, distribution, steps=steps, num_tasks=tasks, rng=rng, chunk=tests.chunk
        )
        scores = scores if has_steps else scores[1:]
        for name, values in info.items():
            result[f"{prefix}info.{name}"] = [_number(np.nanmean(row)) for row in values]
        _warn_of_divergence(scores, "random initialisation" if prefix else "trained initialisation")
        pairs = [mean_ci95(row) if np.isfinite(row).all() else (None, None) for row in scores]
        result[f"{prefix}mean"], result[f"{prefix}ci95"] = [m for m, _ in pairs], [c for _, c in pairs]
        result[f"{prefix}scores"] = [[_number(x) for x in row] for row in scores]
    goals = getattr(distribution.sample(tasks, generator(Stream.TEST, seed)), "goals", None)
    if goals is not None:
        numeric = goals.dtype.kind in "fiub"
        result["goals"] = goals.reshape(tasks, -1).tolist() if numeric else [[str(goal)] for goal in goals]
    return {**result, "transductive": transductive, "tasks": tasks, "seed": seed}


def _number(value: float) -> float | None:
    return float(f"{value:.6g}") if np.isfinite(value) else None


def _warn_of_divergence(scores: np.ndarray, what: str) -> None:
    """Log a warning if some of the scores [steps + 1, tasks] of the initialisation `what` are not finite."""
    finite = np.isfinite(scores).all(axis=1)
    if not finite.all():
        step = int(np.flatnonzero(~finite)[0])
        count = int((~np.isfinite(scores[step])).sum())
        log.warning(
            "%s: %d of %d tasks diverged at gradient step %d: evaluate with fewer --steps, or train with a smaller "
            "inner learning rate",
            what, count, scores.shape[1], step,
        )  # fmt: skip
