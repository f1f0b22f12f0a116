"""Training of a preset in a run folder, resuming a run, and loading its trained learner."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import torch

from metarl.core import Distribution, Learner
from metarl.distributed import restarted
from metarl.experiments.config.run import Config, restore
from metarl.experiments.presets import preset
from metarl.experiments.warm_start import encoders, warm_start
from metarl.run.checkpoint import Training
from metarl.run.folder import CONFIG, RunFolder, versions
from metarl.run.loop import run_training
from metarl.run.pretrained import resolve_run
from metarl.run.shared import first_difference, open_together
from metarl.run.trained import Tests, Trained
from metarl.sampling import check_memory
from metarl.train import Stream, generator, seed_torch

VALIDATION_TASKS = 100  # number of tasks for the scores in the log of supervised runs
EXPERT = "expert"  # folder, in a run folder of guided search, of the copy of the expert's run


def pick_device(name: str) -> torch.device:
    """The torch device for "cpu", "cuda" or "auto" (a GPU if there is one). Raises ValueError if there is no GPU."""
    if name not in ("cpu", "cuda", "auto"):
        raise ValueError(f"unknown device {name!r}: choose cpu, cuda or auto")
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device is cuda, but torch finds no CUDA GPU: use --device auto or --device cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def new_learner(
    config: Config, distribution: Distribution, device: torch.device, *, seed: int | None = None
) -> Learner:
    """A learner with weights that are initialised with `seed` (default: the seed of the run)."""
    seed_torch(generator(Stream.INIT, config.seed if seed is None else seed))
    return config.build_learner(distribution, device)


def new_training(config: Config, device: torch.device) -> tuple[Training, str]:
    """The training of a new learner with these settings, and the metric of its tasks.

    Raises ValueError for settings that are inconsistent.
    """
    distribution = config.distribution(device)
    check_memory(distribution, config.tasks)
    learner = new_learner(config, distribution, device)
    if config.task.pretraining:
        encoders(learner)  # raises ValueError if there is none
    return config.training(learner, distribution, device), distribution.metric


def start(name: str, config: Config, path: Path, *, device: torch.device) -> None:
    """Train the preset `name` with the settings `config` in the new folder `path`.

    Processes that torchrun restarts after a failure continue the run in `path`.
    """
    config = replace(config, torch_threads=config.torch_threads or torch.get_num_threads())
    config = config.with_data()
    training, metric = new_training(config, device)
    for split in ("validation", "test"):
        config.distribution(device, split=split)  # raises before training, not after it, if the data lack the split
    stored = {"made_by": __name__, "preset": name, "settings": asdict(config), "versions": versions()}
    expert = RunFolder.open(resolve_run(config.algorithm.expert)) if config.algorithm.expert else None

    def open_or_create() -> RunFolder:
        if not (restarted() and (path / CONFIG).exists()):
            return RunFolder.create(path, stored, expert=expert)
        run = RunFolder.open(path)  # made by the same command, which torchrun has restarted
        if (found := first_difference(run.config["settings"], json.loads(json.dumps(asdict(config))))) is not None:
            raise ValueError(f"{path} is a run with other settings ({found[0]} is {found[1]}): choose another --out")
        return run

    run = open_together(path, asdict(config), open_or_create)
    with run.locked():
        _run(run, config, training, metric, device)


def resume(run: RunFolder, *, device: torch.device | None = None, data: str | None = None) -> None:
    """Continue a run from its newest checkpoint, on `device` (default: CPU), with the images in the folder `data`."""
    config, device = settings(run).with_data(data), device or torch.device("cpu")
    if (expert := run.path / EXPERT).is_dir():
        config = replace(config, algorithm=config.algorithm.but(expert=str(expert)))
    training, metric = new_training(config, device)
    run = open_together(run.path, asdict(config), lambda: run)
    with run.locked():
        _run(run, config, training, metric, device)


def settings(run: RunFolder) -> Config:
    """The settings with which a run was made."""
    stored = run.config
    try:
        return restore(preset(stored["preset"]), stored["settings"])
    except ValueError as error:
        raise ValueError(f"{run.path / CONFIG}: {error}") from None


def restore_run(run: RunFolder, *, device: torch.device | None = None, data: str | None = None) -> Trained:
    """The trained learner and the tasks of a run, on `device` (default: CPU), with the images in the folder `data`."""
    config, device = settings(run).with_data(data), device or torch.device("cpu")
    torch.set_num_threads(config.torch_threads)  # so that scores are reproducible
    distribution = config.distribution(device, split="test")
    untrained = partial(_untrained, config, distribution, device)
    learner = untrained(config.seed)
    run.load_weights(learner)
    return Trained(
        run, learner, distribution, tests(config), untrained, lambda: config.distribution(device, split="validation")
    )


def tests(config: Config) -> Tests:
    """The settings of tests and validation of a run."""
    return Tests(
        config.seed, config.test_steps, config.test_tasks, config.validation_tasks, VALIDATION_TASKS, config.chunk
    )


def _run(run: RunFolder, config: Config, training: Training, metric: str, device: torch.device) -> None:
    torch.set_num_threads(config.torch_threads)
    resume_command = f"metarl train --resume {shlex.quote(str(run.path))}"
    run_training(
        run, training, config.schedule, initial=replace(config.algorithm.initial(), run=run.config["run"]),
        metric=metric, resume_command=resume_command,
        warm_start=(
            (lambda: warm_start(config, training.learner, run.path, device=device, resume_command=resume_command))
            if config.task.pretraining else None
        ),
        validate=None if metric == "return" else validation(run, training.learner, config, device),
    )  # fmt: skip


def validation(
    run: RunFolder, learner: Learner, config: Config, device: torch.device
) -> Callable[[], dict[str, float]]:
    """A function that computes the scores of `learner`, with its current weights, on validation tasks.

    It is for supervised runs; in reinforcement learning, the returns in training are logged instead.
    """
    distribution = config.distribution(device, split="validation")
    untrained = partial(_untrained, config, distribution, device)
    tested = untrained(config.seed)  # a separate learner, because tests may have another number of ways
    trained = Trained(run, tested, distribution, tests(config), untrained, lambda: distribution)

    def validate() -> dict[str, float]:
        tested.load_state_dict(learner.state_dict())
        return trained.validate()

    return validate


def _untrained(config: Config, distribution: Distribution, device: torch.device, seed: int) -> Learner:
    """A learner with weights that are initialised with `seed`."""
    return new_learner(config, distribution, device, seed=seed)
