"""`fit`: what `metarl train` does around training, for any learner, outer loop and tasks of a script's own."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from metarl.algorithms.base import Algorithm
from metarl.core import Distribution, Learner
from metarl.description import NotRestorable, build, describe
from metarl.ranges import Count, Whole, checked
from metarl.run.checkpoint import Record
from metarl.run.folder import RunFolder, versions
from metarl.run.loop import Schedule, run_training
from metarl.run.trained import Tests, Trained
from metarl.train import MetaTraining, Stream, generator, seed_torch

BY = __name__


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
) -> Trained:
    """Train the learner of `outer` on `tasks` in the run folder `out`, and return what was trained.

    `meta_batch` tasks are sampled in each of `iterations` iterations. Called again with the same arguments, a run goes
    on where it stopped, killed or interrupted, and ends as one that never stopped, bit for bit; one that has ended is
    loaded. (It begins with the weights that the caller made, kept as its first checkpoint: `torch.manual_seed` before
    the net is made gives the same ones in every process.) The folder has progress.csv, TensorBoard's events and
    checkpoints, and the commands that take a run folder (`metarl evaluate`, `plot`, `compare`, …) take it.

    Scores on `validation_tasks` tasks of `validation` (default: `tasks`, with random numbers of their own) are logged
    and choose the best checkpoint. `metarl evaluate` shows `test_steps` gradient steps (default: as many as in
    training) on `test_tasks` tasks of `test` (default: `validation`). A row is logged every `log_every` iterations
    (default: a hundredth of the run) and a checkpoint written every `checkpoint_every` (default: a twentieth), of which
    `keep` are kept, evenly spaced, beside the newest two (0: all).

    Raises ValueError where `out` holds something else, or a run with other arguments, and names what differs;
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
        "checkpoint_every": checkpoint_every, "keep": keep, "torch_threads": torch.get_num_threads(),
    }  # fmt: skip
    name = f"{type(tasks).__name__}-{type(learner).__name__}"
    run = opened(path, {"made_by": BY, "preset": name, "settings": settings, "versions": versions()})
    held_out = validation or tasks
    trained = Trained(run, learner, test or held_out, tests, partial(untrained, settings), lambda: held_out)
    with run.locked():
        run_training(
            run, MetaTraining(outer, tasks, iterations=iterations, meta_batch=meta_batch, seed=seed), schedule,
            initial=Record(run.config["run"]), metric=tasks.metric, warm_start=lambda: 0.0,
            validate=None if tasks.metric == "return" else trained.validate, resume_command=_command(),
        )  # fmt: skip
    return trained


def opened(path: Path, stored: dict[str, Any]) -> RunFolder:
    """The run folder `path`, made now or, where it is one, checked to be of the same arguments."""
    if not (path / "config.json").exists():
        return RunFolder.create(path, stored)
    run = RunFolder.open(path)
    config = run.config
    if config.get("made_by") != BY:
        raise ValueError(f"{path} is a run of {config['preset']}, which no call of fit made: choose another out")
    if (found := difference(config["settings"], stored["settings"])) is not None:
        name, old, new = found
        raise ValueError(f"{path} is a run with other arguments, {name} was {old} and is {new}: choose another out")
    return run


def difference(old: Any, new: Any, name: str = "") -> tuple[str, Any, Any] | None:
    """The first place where two descriptions differ: its dotted name and both values; None where they are equal."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys([*old, *new]):
            part = name if key == "arguments" else f"{name}.{key}".removeprefix(".")
            if (found := difference(old.get(key), new.get(key), part)) is not None:
                return found
        return None
    return None if old == new else (name, old, new)


def restore_run(run: RunFolder, **given: Any) -> Trained:
    """What is in a run folder that `fit` made. Objects that are `given`, by name, take the place of its own.

    Raises NotRestorable, naming the part, where the folder cannot give one back and none is given.
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
    """Go on with a run that `fit` made, as calling `fit` again does. Raises NotRestorable where a part is not known."""
    settings = run.config["settings"]
    torch.set_num_threads(settings["torch_threads"])  # float32 sums differ in the last bit by it
    parts = _parts(run, settings, ("outer", "tasks", "validation", "test"), given)
    options = {name: value for name, value in settings.items() if name not in (*parts, "torch_threads")}
    fit(**parts, **options, out=run.path)


LOADED = ("learner", "tasks", "validation", "test")


def _parts(run: RunFolder, described: dict[str, Any], names: Sequence[str], given: dict[str, Any]) -> dict[str, Any]:
    """The parts of a run by name, those that are `given` or else made as `described`."""
    if unknown := sorted(given.keys() - set(names)):
        raise ValueError(f"{unknown[0]} is no part of the run in {run.path}: give of {', '.join(names)}")
    parts = {}
    for name in names:
        try:
            parts[name] = given[name] if name in given else build(described[name])
        except NotRestorable as error:
            raise NotRestorable(f"{run.path}: its {name} cannot be made again ({error})") from None
    return parts


def untrained(settings: dict[str, Any], seed: int) -> Learner:
    """The learner of a run at the random initialisation of `seed`."""
    seed_torch(generator(Stream.INIT, seed))
    learner: Learner = build(settings["outer"]["arguments"]["learner"])
    return learner


def _command() -> str:
    """How this script was started."""
    script = getattr(sys.modules["__main__"], "__file__", None)
    return shlex.join(["python", script, *sys.argv[1:]]) if script else "the same call of fit"
