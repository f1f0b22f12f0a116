"""Selection of a run's best checkpoint on validation tasks, which are neither training tasks nor test tasks."""

from __future__ import annotations

import json
import math
from pathlib import Path

from metarl.distributed import first, run_on_first
from metarl.evaluation import evaluate
from metarl.experiments.report.stored import Stored
from metarl.files import write_text
from metarl.ranges import Count, Whole
from metarl.run.checkpoint import Record, evenly_spaced
from metarl.run.trained import Trained
from metarl.train import Stream, generator

SMALLER_IS_BETTER = ("loss",)  # metrics
CANDIDATES = 6  # number of evenly spaced checkpoints that are validated, each of which takes as long as some iterations


def load_checkpoint(trained: Trained, which: str) -> Record:
    """Load the weights of a checkpoint, "last", "best" or a number of iterations, and return its record.

    "best" is the checkpoint with the best mean score over 1 … `tests.steps` gradient steps (or before adaptation if
    that is 0) on `tests.validation_tasks` validation tasks, out of at most `CANDIDATES` evenly spaced checkpoints that
    include the last one. Checkpoints whose scores are not finite are left out; raises ValueError if there are no
    others. The scores are saved in validation.json in the run folder, and are reused for the same numbers of tasks and
    steps.
    """
    if which == "last":
        return trained.load()
    if which.isdecimal():
        return trained.load(int(which))
    if which != "best":
        raise ValueError(f"unknown checkpoint {which!r}: choose best, last or a number of iterations")
    if len(trained.folder.checkpoints()) == 1:
        return trained.load()
    sign = -1 if trained.validation.metric in SMALLER_IS_BETTER else 1
    scores = validate(trained)
    finite = {iteration: sign * score for iteration, score in scores.items() if math.isfinite(score)}
    if not finite:
        raise ValueError(
            f"no checkpoint of {trained.path} has a finite score on validation tasks, so none is the best: train again "
            "with a smaller inner or outer learning rate"
        )
    return trained.load(max(finite, key=lambda iteration: (finite[iteration], -iteration)))


def validate(trained: Trained) -> dict[int, float]:
    """The mean validation scores of all candidates, {iteration: score}. The learner keeps the weights of the last."""
    learner, tests = trained.learner, trained.tests
    file, tasks = trained.path / "validation.json", tests.validation_tasks
    steps = tests.steps if learner.gradient_steps else 1
    run = trained.folder.config["run"]
    known = run_on_first(lambda: _read(file, run=run, tasks=tasks, steps=steps))
    iterations = evenly_spaced(trained.folder.checkpoints(), CANDIDATES)
    for iteration in iterations:
        trained.load(iteration)
        if iteration not in known:
            rng = generator(Stream.VALIDATE, tests.seed)
            scores = evaluate(learner, trained.validation, steps=steps, num_tasks=tasks, rng=rng, chunk=tests.chunk)
            known[iteration] = float(scores[min(1, steps) :].mean())
            kept = {k: score if math.isfinite(score) else None for k, score in known.items()}
            stored = {"run": run, "tasks": tasks, "steps": steps, "scores": kept}
            if first():
                write_text(file, json.dumps(stored, indent=2) + "\n")
    return {iteration: known[iteration] for iteration in iterations}


def _read(file: Path, *, run: str, tasks: int, steps: int) -> dict[int, float]:
    """The scores in `file`, nan for those that diverged; none if it has other numbers of tasks or steps.

    Raises ValueError if the file is damaged, or belongs to another run than the one with the id `run`.
    """
    if not file.is_symlink() and not file.exists():
        return {}
    stored = Stored(file, remedy="delete it, and the checkpoints are validated again")
    stored.check_run(run)
    if (stored.value("tasks", Count), stored.value("steps", Whole)) != (tasks, steps):
        return {}
    scores = {}
    for name, score in stored.value("scores", dict).items():
        if not (name.isascii() and name.isdecimal() and len(name) <= 8):
            raise stored.damaged(f"{name!r} is not a number of iterations")
        stored.check(float | None, score, f"the score of checkpoint {name}")
        scores[int(name)] = math.nan if score is None else float(score)
    return scores
