"""Evaluation of a run on held-out tasks, beside the same protocol from a random initialisation."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch

from metarl.evaluate import evaluate
from metarl.experiments import runner
from metarl.statistics import mean_ci95
from metarl.train import Stream, generator

log = logging.getLogger(__name__)


def evaluate_run(
    path: Path, *, steps: int | None = None, tasks: int | None = None, seed: int = 0, device: torch.device
) -> dict[str, Any]:
    """Scores of the run in `path` after 0 … `steps` gradient steps on `tasks` held-out tasks drawn with `seed`.

    Returns what `metarl evaluate --json` writes: mean and 95 % interval over tasks for each number of steps, of the
    trained and of a random initialisation, None (null) where adaptation diverged. Both meet the same tasks.
    """
    run, config, distribution, learner = runner.load(path, device=device)
    steps = config.test_steps if steps is None else steps
    tasks = config.test_tasks if tasks is None else tasks
    random = runner.new_learner(config, distribution, device, seed=config.seed + seed + 1)
    result: dict[str, Any] = {
        "preset": run.config["preset"],
        "metric": distribution.metric,
        "steps": list(range(steps + 1)),
    }
    for prefix, subject in (("", learner), ("random_", random)):
        rng = generator(Stream.TEST, seed)
        scores = evaluate(subject, distribution, steps=steps, tasks=tasks, rng=rng, chunk=config.chunk)
        _warn(scores, "random initialisation" if prefix else "trained")
        pairs = [mean_ci95(row) if np.isfinite(row).all() else (None, None) for row in scores]
        result[f"{prefix}mean"], result[f"{prefix}ci95"] = [m for m, _ in pairs], [c for _, c in pairs]
    return {**result, "tasks": tasks, "seed": seed}


def _warn(scores: np.ndarray, what: str) -> None:
    """Say where a score of [steps + 1, tasks] is not finite."""
    finite = np.isfinite(scores).all(axis=1)
    if not finite.all():
        step = int(np.flatnonzero(~finite)[0])
        count = int((~np.isfinite(scores[step])).sum())
        log.warning(
            "%s: %d of %d tasks diverged at gradient step %d: evaluate fewer --steps, or train at a smaller inner rate",
            what, count, scores.shape[1], step,
        )  # fmt: skip
