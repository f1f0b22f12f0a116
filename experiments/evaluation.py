"""Evaluation of a run on held-out tasks, beside the same protocol from a random initialisation."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch

from metarl.evaluation import evaluate
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
    """Scores of the run in `path`, a folder or "pretrained:NAME", after 0 … `steps` gradient steps.

    They are of `tasks` held-out tasks drawn with `seed`. `checkpoint` is "last", "best" (on validation tasks) or a
    number of iterations. Returns what `metarl evaluate --json` writes: the run's id, what was trained, and for each
    number of steps the mean, its 95 % interval over tasks and each task's score, of the trained initialisation and of a
    random one; None (null) where adaptation diverged. Both meet the same tasks. A learner without gradient steps has
    one entry, steps [0], after it has seen the support. Without `transductive`, images of a query are classified one by
    one, each with the support alone (metarl.tasks.images); ValueError for tasks that are not images. `data` is where
    the run's images lie now (None: where they lay).
    """
    trained = load(path, **load_options(device, data))
    run, distribution, learner, tests = trained.folder, trained.tasks, trained.learner, trained.tests
    record = load_checkpoint(trained, checkpoint)
    if not transductive:
        if not isinstance(distribution, Images):
            raise ValueError(f"{path} classifies no images: queries are one by one already")
        distribution.transductive = False
    counted = learner.gradient_steps
    steps = (tests.steps if steps is None else steps) if counted else 1
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
        "steps": list(range(steps + 1)) if counted else [0],
    }
    for prefix, subject in (("", learner), ("random_", random)):
        rng = generator(Stream.TEST, seed)
        scores = evaluate(subject, distribution, steps=steps, num_tasks=tasks, rng=rng, chunk=tests.chunk)
        scores = scores if counted else scores[1:]
        _warn(scores, "random initialisation" if prefix else "trained")
        pairs = [mean_ci95(row) if np.isfinite(row).all() else (None, None) for row in scores]
        result[f"{prefix}mean"], result[f"{prefix}ci95"] = [m for m, _ in pairs], [c for _, c in pairs]
        result[f"{prefix}scores"] = [[float(f"{x:.6g}") if np.isfinite(x) else None for x in row] for row in scores]
    goals = getattr(distribution.sample(tasks, generator(Stream.TEST, seed)), "goals", None)
    if goals is not None:
        result["goals"] = goals.tolist()
    return {**result, "transductive": transductive, "tasks": tasks, "seed": seed}


def _warn(scores: np.ndarray, what: str) -> None:
    """Say where a score of [steps + 1, tasks] is not finite."""
    finite = np.isfinite(scores).all(axis=1)
    if not finite.all():
        step = int(np.flatnonzero(~finite)[0])
        count = int((~np.isfinite(scores[step])).sum())
        log.warning(
            "%s: %d of %d tasks diverged at gradient step %d: evaluate fewer --steps, or train at a smaller inner lr",
            what, count, scores.shape[1], step,
        )  # fmt: skip
