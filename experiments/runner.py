"""Running an experiment in a run folder: training with checkpoints, resuming, loading what was trained."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import torch

from metarl.core import Distribution, Learner
from metarl.experiments.config import Config, restore
from metarl.experiments.outer import GuidedConfig
from metarl.experiments.ppo import PPOConfig
from metarl.experiments.presets import preset
from metarl.experiments.tasks import LocomotionConfig
from metarl.experiments.warm_start import encoders, wanted, warm_start
from metarl.learners.gradient import GradientLearner
from metarl.nets.policy import GaussianPolicy
from metarl.rl.guidance import Guided, told
from metarl.rl.rollout import WorldDistribution
from metarl.run.checkpoint import Record, Training
from metarl.run.folder import CONFIG, RunFolder, versions
from metarl.run.loop import run_training
from metarl.run.pretrained import located
from metarl.run.trained import Tests, Trained
from metarl.sampling import check_memory
from metarl.train import MetaTraining, Stream, generator, seed_torch

VALIDATION_TASKS = 100  # supervised runs, whose episodes tell no score: tasks behind the scores in the log
EXPERT = "expert"  # in the folder of a guided run: a copy of the run that it imitates


def pick_device(name: str) -> torch.device:
    """The torch device for "cpu", "cuda" or "auto" (a GPU where there is one). ValueError without the GPU asked for."""
    if name not in ("cpu", "cuda", "auto"):
        raise ValueError(f"unknown device {name!r}: choose cpu, cuda or auto")
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda, but torch sees no CUDA GPU here: use --device auto or cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def new_learner(
    config: Config, distribution: Distribution, device: torch.device, *, seed: int | None = None
) -> Learner:
    """A learner at the random initialisation of `seed` (default: the run's own)."""
    seed_torch(generator(Stream.INIT, config.seed if seed is None else seed))
    return config.build_learner(distribution, device)


def new_training(config: Config, device: torch.device) -> tuple[Training, Distribution, Record]:
    """What trains a fresh learner as the settings say, its tasks, and what is behind a run that begins.

    Behind a guided run is its expert's training. Raises ValueError where the settings do not go together.
    """
    distribution = config.distribution(device)
    check_memory(distribution, config.tasks)
    learner = new_learner(config, distribution, device)
    if isinstance(config.algorithm, PPOConfig):
        from metarl.experiments.pretraining import Pretraining  # Stable-Baselines3 is slow to import

        return Pretraining(config, distribution, learner, device=device), distribution, Record("")
    if wanted(config):
        encoders(learner)  # raises where there is none
    begin = Record("")
    if isinstance(config.algorithm, GuidedConfig):
        distribution, begin = guided(config, distribution, device)
    training = MetaTraining(
        config.build_algorithm(learner), distribution, iterations=config.iterations, meta_batch=config.meta_batch,
        seed=config.seed,
    )  # fmt: skip
    return training, distribution, begin


def start(name: str, config: Config, path: Path, *, device: torch.device) -> None:
    """Train preset `name` with settings `config` from the beginning, in the new folder `path`."""
    config = replace(config, torch_threads=config.torch_threads or torch.get_num_threads())
    config = config.with_data()
    training, distribution, begin = new_training(config, device)
    for split in ("validation", "test"):
        config.distribution(device, split=split)  # raises where the data lack it: before training, not after
    expert = RunFolder.open(located(config.algorithm.expert)) if isinstance(config.algorithm, GuidedConfig) else None
    stored = {"made_by": __name__, "preset": name, "settings": asdict(config), "versions": versions()}
    run = RunFolder.create(path, stored, expert=expert)
    with run.locked():
        _run(run, config, distribution, training, begin, device)


def resume(run: RunFolder, *, device: torch.device | None = None, data: str | None = None) -> None:
    """Go on with a run from its newest checkpoint, on `device` (default: CPU); `data` is where its images lie now."""
    config, path, device = settings(run).with_data(data), run.path, device or torch.device("cpu")
    if isinstance(config.algorithm, GuidedConfig) and (path / EXPERT).is_dir():
        config = replace(config, algorithm=replace(config.algorithm, expert=str(path / EXPERT)))
    training, distribution, begin = new_training(config, device)
    with run.locked():
        _run(run, config, distribution, training, begin, device)


def guided(config: Config, distribution: Distribution, device: torch.device) -> tuple[Guided, Record]:
    """The tasks of a run that an expert guides, and what the expert's training took.

    Raises ValueError where there is no expert, or one that acts elsewhere.
    """
    assert isinstance(config.algorithm, GuidedConfig)
    if not config.algorithm.expert:
        raise ValueError(
            "guided meta-policy search imitates a policy that is told the task: train one, `metarl train TASK-oracle "
            "--out DIR`, and give --expert DIR"
        )
    run = RunFolder.open(located(config.algorithm.expert))
    made = settings(run)
    assert isinstance(config.task, LocomotionConfig)
    assert isinstance(distribution, WorldDistribution)
    if not isinstance(made.task, LocomotionConfig) or not made.task.observe_goal or made.task.env != config.task.env:
        raise ValueError(
            f"{run.path} is a run of {run.config['preset']}, no expert for {config.task.env}: give one of a policy "
            "that is told the task there, TASK-oracle"
        )
    if made.task.action_scale != config.task.action_scale:
        raise ValueError(
            f"{run.path} scales actions by {made.task.action_scale}, this run by {config.task.action_scale}: "
            "one --task.action-scale for both"
        )
    learner = restored(run, device=device).learner
    assert isinstance(learner, GradientLearner)
    assert isinstance(learner.net, GaussianPolicy)
    return Guided(distribution, told(learner.net)), replace(run.record(), run="", iteration=0)


def settings(run: RunFolder) -> Config:
    """The settings a run was made with."""
    stored = run.config
    try:
        return restore(preset(stored["preset"]), stored["settings"])
    except ValueError as error:
        raise ValueError(f"{run.path / CONFIG}: {error}") from None


def restored(run: RunFolder, *, device: torch.device | None = None, data: str | None = None) -> Trained:
    """A run's trained learner and tasks, on `device` (default: the CPU); `data` is where its images lie now."""
    config, device = settings(run).with_data(data), device or torch.device("cpu")
    torch.set_num_threads(config.torch_threads)  # the same scores wherever they are asked for
    distribution = config.distribution(device, split="test")
    fresh = partial(_fresh, config, distribution, device)
    learner = fresh(config.seed)
    run.load_weights(learner)
    return Trained(
        run, learner, distribution, tests(config), fresh, lambda: config.distribution(device, split="validation")
    )


def tests(config: Config) -> Tests:
    """How a run with these settings is tested."""
    return Tests(
        config.seed, config.test_steps, config.test_tasks, config.validation_tasks, VALIDATION_TASKS, config.chunk
    )


def _run(
    run: RunFolder, config: Config, distribution: Distribution, training: Training, begin: Record, device: torch.device
) -> None:
    torch.set_num_threads(config.torch_threads)
    go_on = f"metarl train --resume {shlex.quote(str(run.path))}"
    run_training(
        run, training, config.schedule, begin=replace(begin, run=run.config["run"]), metric=distribution.metric,
        warm_start=(
            (lambda: warm_start(config, training.learner, run.path, device=device, go_on=go_on))
            if wanted(config) else None
        ),
        validate=None if distribution.metric == "return" else validation(run, training.learner, config, device),
        go_on=go_on,
    )  # fmt: skip


def validation(
    run: RunFolder, learner: Learner, config: Config, device: torch.device
) -> Callable[[], dict[str, float]]:
    """A function that scores `learner` as it is now on validation tasks.

    It is for supervised runs: in reinforcement learning, training itself tells the returns.
    """
    distribution = config.distribution(device, split="validation")
    fresh = partial(_fresh, config, distribution, device)
    tested = fresh(config.seed)  # whose number of ways is that of tests
    trained = Trained(run, tested, distribution, tests(config), fresh, lambda: distribution)

    def validate() -> dict[str, float]:
        tested.load_state_dict(learner.state_dict())
        return trained.validate()

    return validate


def _fresh(config: Config, distribution: Distribution, device: torch.device, seed: int) -> Learner:
    """A learner at the random initialisation of `seed`."""
    return new_learner(config, distribution, device, seed=seed)
