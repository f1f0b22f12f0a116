"""`fit`: training in a run folder, with checkpoints, logs and resuming, for the learner and tasks of a script."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from metarl.algorithms.base import Algorithm
from metarl.compiled import Mode, compile_training
from metarl.core import Distribution, Learner
from metarl.description import NotRestorable, build, describe
from metarl.ranges import Count, Whole, checked
from metarl.run.checkpoint import Record
from metarl.run.folder import RunFolder, versions
from metarl.run.loop import Schedule, run_training
from metarl.run.shared import first_difference, open_together
from metarl.run.trained import Tests, Trained
from metarl.train import MetaTraining, Stream, generator, seed_torch

MADE_BY = __name__


@checked
def fit(
    outer: Algorithm,
    tasks: Distribution,
    *,
    iterations: Count,
    meta_batch: Count,
    out: str | Path,
    seed: Whole = 0,
    validation: Distribution | None = None,
    test: Distribution | None = None,
    test_steps: Whole | None = None,
    test_tasks: Count = 100,
    validation_tasks: Count = 100,
    log_every: Count | None = None,
    checkpoint_every: Count | None = None,
    keep: Whole = 6,
    compile: Mode = "off",
) -> Trained:
    """Train the learner of `outer` on `tasks` in the run folder `out`, and return the trained run.

    `meta_batch` tasks are sampled in each of `iterations` iterations. When called again with the same arguments, a run
    that was killed or interrupted continues from its newest checkpoint, and its result equals that of an uninterrupted
    run bit for bit; a finished run is loaded. The learner's initial weights are those that the caller made; they are
    the first checkpoint. (To make the same ones in every process, call `torch.manual_seed` before making the net.) The
    folder holds progress.csv, TensorBoard events and checkpoints. All commands that take a run folder, such as
    `metarl evaluate`, `plot` and `compare`, accept it.

    Scores on `validation_tasks` tasks of `validation` (default: of `tasks`, with separate random numbers) are logged
    and determine the best checkpoint. `metarl evaluate` scores the learner after up to `test_steps` gradient steps
    (default: as many as in training) on `test_tasks` tasks of `test` (default: of `validation`). A row is logged every
    `log_every` iterations (default: a hundredth of the run) and a checkpoint is written every `checkpoint_every`
    (default: a twentieth). In addition to the newest two checkpoints, `keep` evenly spaced ones are kept (0: all).

    `compile="on"` compiles the meta-gradients of a gradient-based outer loop, and "auto" does so for long runs, which
    earn the time of compilation back (`metarl.compiled`). Results are the same up to rounding.

    Several processes that torchrun starts share the tasks of each meta-batch, and process 0 writes the folder.

    Raises ValueError if `out` holds anything else or a run with other arguments, and names the difference. Raises
    KeyboardInterrupt after Ctrl-C, SIGTERM or SIGHUP, once a checkpoint is written.
    """
    path, learner = Path(out), outer.learner
    log_every, checkpoint_every = log_every or -(-iterations // 100), checkpoint_every or -(-iterations // 20)
    schedule = Schedule(iterations, log_every, checkpoint_every, keep)
    tests = Tests(
        seed, steps=max(learner.steps, 1) if test_steps is None else test_steps, tasks=test_tasks,
        validation_tasks=validation_tasks, chunk=outer.chunk,
    )  # fmt: skip
    settings = {
        "outer": describe(outer), "tasks": describe(tasks), "validation": describe(validation), "test": describe(test),
        "iterations": iterations, "meta_batch": meta_batch, "seed": seed, "test_steps": tests.steps,
        "test_tasks": test_tasks, "validation_tasks": validation_tasks, "log_every": log_every,
        "checkpoint_every": checkpoint_every, "keep": keep, "compile": compile,
        "torch_threads": torch.get_num_threads(),
    }  # fmt: skip
    training = MetaTraining(outer, tasks, iterations=iterations, meta_batch=meta_batch, seed=seed)
    compile_training(training, compile)
    name = f"{type(tasks).__name__}-{type(learner).__name__}"
    stored = {"made_by": MADE_BY, "preset": name, "settings": settings, "versions": versions()}
    run = open_together(path, settings, lambda: open_or_create(path, stored))
    held_out = validation or tasks
    trained = Trained(run, learner, test or held_out, tests, partial(untrained, settings), lambda: held_out)
    with run.locked():
        run_training(
            run, training, schedule, initial=Record(run.config["run"]), metric=tasks.metric, warm_start=lambda: 0.0,
            validate=None if tasks.metric == "return" else trained.validate, resume_command=_command(),
        )  # fmt: skip
    return trained


def open_or_create(path: Path, stored: dict[str, Any]) -> RunFolder:
    """Open the run folder `path`, if it has the same arguments, or create it. Raises ValueError for other arguments."""
    if not (path / "config.json").exists():
        return RunFolder.create(path, stored)
    run = RunFolder.open(path)
    config = run.config
    if config.get("made_by") != MADE_BY:
        raise ValueError(f"{path} is a run of the preset {config['preset']}, not of fit: choose another out")
    if (found := first_difference(config["settings"], stored["settings"])) is not None:
        name, old, new = found
        raise ValueError(f"{path} is a run with other arguments ({name} was {old} and is {new}): choose another out")
    return run


def restore_run(run: RunFolder, **given: Any) -> Trained:
    """Load a run that `fit` made. Objects that are `given`, by name, replace those that the folder describes.

    Raises NotRestorable, which names the object, if one cannot be made from its description and is not given.
    """
    settings = run.config["settings"]
    parts = _parts(run, {**settings, "learner": settings["outer"]["arguments"]["learner"]}, LOADED, given)
    held_out = parts["validation"] or parts["tasks"]
    tests = Tests(
        settings["seed"], settings["test_steps"], settings["test_tasks"], settings["validation_tasks"],
        chunk=settings["outer"]["arguments"].get("chunk"),
    )  # fmt: skip
    run.load_weights(parts["learner"])
    return Trained(
        run, parts["learner"], parts["test"] or held_out, tests, partial(untrained, settings), lambda: held_out
    )


def resume(run: RunFolder, **given: Any) -> None:
    """Continue a run that `fit` made, as calling `fit` again does. Raises NotRestorable as `restore_run` does."""
    settings = run.config["settings"]
    torch.set_num_threads(settings["torch_threads"])  # the last bits of float32 sums depend on it
    parts = _parts(run, settings, ("outer", "tasks", "validation", "test"), given)
    options = {name: value for name, value in settings.items() if name not in (*parts, "torch_threads")}
    fit(**parts, **options, out=run.path)


LOADED = ("learner", "tasks", "validation", "test")


def _parts(run: RunFolder, described: dict[str, Any], names: Sequence[str], given: dict[str, Any]) -> dict[str, Any]:
    """The objects of a run by name: those that are `given`, and otherwise those that `described` describes."""
    if unknown := sorted(given.keys() - set(names)):
        raise ValueError(f"{unknown[0]} is not an object of the run in {run.path}: give any of {', '.join(names)}")
    parts = {}
    for name in names:
        try:
            parts[name] = given[name] if name in given else build(described[name])
        except NotRestorable as error:
            raise NotRestorable(f"{run.path}: its {name} cannot be restored ({error})") from None
    return parts


def untrained(settings: dict[str, Any], seed: int) -> Learner:
    """The learner of a run, with the random initialisation of `seed`."""
    seed_torch(generator(Stream.INIT, seed))
    learner: Learner = build(settings["outer"]["arguments"]["learner"])
    return learner


def _command() -> str:
    """The command that started this script."""
    script = getattr(sys.modules["__main__"], "__file__", None)
    return shlex.join(["python", script, *sys.argv[1:]]) if script else "the same call of fit"
