"""Running an experiment in a run folder: training with checkpoints, resuming, loading what was trained."""

from __future__ import annotations

import signal
import sys
import time
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.tensorboard import SummaryWriter

from metarl.algorithms.base import Algorithm
from metarl.core import Distribution, Learner
from metarl.evaluate import evaluate
from metarl.experiments.config import Config, restore
from metarl.experiments.outer import GuidedConfig
from metarl.experiments.ppo import PPOConfig
from metarl.experiments.presets import preset
from metarl.experiments.tasks import LocomotionConfig
from metarl.experiments.warm_start import encoders, wanted, warm_start
from metarl.learners.gradient import GradientLearner
from metarl.nets import GaussianPolicy
from metarl.rl.guidance import Guided, told
from metarl.rl.rollout import WorldDistribution
from metarl.run.folder import RunFolder
from metarl.run.progress import Display, ProgressFile
from metarl.train import Stream, generator, seed_torch, train

if TYPE_CHECKING:
    from metarl.experiments.pretraining import Pretraining

VALIDATION_TASKS = 100  # supervised runs, whose episodes tell no score: tasks behind the scores in the log
EXPERT = "expert"  # in the folder of a guided run: a copy of the run that it imitates
CLOCK = ("seconds_sampling", "seconds_update")  # never equal twice: to TensorBoard and the screen, not progress.csv


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


def new_training(config: Config, distribution: Distribution, device: torch.device) -> Algorithm | Pretraining:
    """What trains a fresh learner as the settings say."""
    learner = new_learner(config, distribution, device)
    if isinstance(config.algorithm, PPOConfig):
        from metarl.experiments.pretraining import Pretraining  # Stable-Baselines3 is slow to import

        return Pretraining(config, distribution, learner, device=device)
    if wanted(config):
        encoders(learner)  # raises where there is none
    return config.build_algorithm(learner)


def start(name: str, config: Config, path: Path, *, device: torch.device) -> None:
    """Train preset `name` with settings `config` from the beginning, in the new folder `path`."""
    config = replace(config, torch_threads=config.torch_threads or torch.get_num_threads())
    distribution = config.distribution(device)
    training = new_training(config, distribution, device)
    tasks, begin = training_tasks(config, distribution, device)
    versions = {package: version(package) for package in ("metarl", "torch", "mujoco", "gymnasium", "numpy")}
    run = RunFolder.create(path, {"preset": name, "settings": asdict(config), "versions": versions})
    with run.locked():
        if isinstance(config.algorithm, GuidedConfig):
            RunFolder.open(Path(config.algorithm.expert)).copy(path / EXPERT)
        _run(run, config, tasks, training, begin, device)


def resume(path: Path, *, device: torch.device) -> None:
    """Go on with the run in `path` from its newest checkpoint."""
    run = RunFolder.open(path)
    config = settings(run)
    if isinstance(config.algorithm, GuidedConfig) and (path / EXPERT).is_dir():
        config = replace(config, algorithm=replace(config.algorithm, expert=str(path / EXPERT)))
    distribution = config.distribution(device)
    training = new_training(config, distribution, device)
    tasks, begin = training_tasks(config, distribution, device)
    with run.locked():
        _run(run, config, tasks, training, begin, device)


def training_tasks(
    config: Config, distribution: Distribution, device: torch.device
) -> tuple[Distribution, dict[str, Any]]:
    """The tasks to train on, of `distribution`, and what is behind a run that begins: its expert's training, if any.

    Raises ValueError where the run is to be guided and has no expert, or one that acts elsewhere.
    """
    begin: dict[str, Any] = {"iteration": 0, "env_steps": 0.0, "seconds": 0.0}
    if not isinstance(config.algorithm, GuidedConfig):
        return distribution, begin
    if not config.algorithm.expert:
        raise ValueError(
            "guided meta-policy search imitates a policy that is told the task: train one, `metarl train TASK-oracle "
            "--out DIR`, and give --expert DIR"
        )
    run, made, _, learner = load(Path(config.algorithm.expert), device=device)
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
    assert isinstance(learner, GradientLearner)
    assert isinstance(learner.net, GaussianPolicy)
    spent = run.state(int(run.checkpoints()[-1].name))
    begin |= {"env_steps": float(spent["env_steps"]), "seconds": float(spent.get("seconds", 0.0))}
    return Guided(distribution, told(learner.net)), begin


def settings(run: RunFolder) -> Config:
    """The settings a run was made with."""
    stored = run.config
    return restore(preset(stored["preset"]), stored["settings"])


def load(path: Path, *, device: torch.device) -> tuple[RunFolder, Config, Distribution, Learner]:
    """A run's folder, settings, test tasks and trained learner."""
    run = RunFolder.open(path)
    config = settings(run)
    torch.set_num_threads(config.torch_threads)  # the same scores wherever they are asked for
    distribution = config.distribution(device, split="test")
    learner = new_learner(config, distribution, device)
    run.load_weights(learner)
    return run, config, distribution, learner


def _run(
    run: RunFolder,
    config: Config,
    distribution: Distribution,
    training: Algorithm | Pretraining,
    state: dict[str, Any],
    device: torch.device,
) -> None:
    torch.set_num_threads(config.torch_threads)
    if run.checkpoints():
        state = run.load(training)
    elif wanted(config):
        state = {**state, "seconds": warm_start(config, training.learner, device=device)}
        run.save(0, training, {"env_steps": 0.0, "seconds": state["seconds"]})
    begin, env_steps = int(state["iteration"]), float(state["env_steps"])
    progress = ProgressFile(run.path / "progress.csv", keep=begin)
    if isinstance(training, Algorithm):
        updates = train(
            training, distribution, iterations=config.iterations, meta_batch=config.meta_batch, seed=config.seed,
            start=begin,
        )  # fmt: skip
    else:
        updates = training.updates(start=begin)
    with (
        Interrupt() as interrupt,
        SummaryWriter(str(run.path), purge_step=begin + 1) as board,
        Display(config.iterations, start=begin) as display,
    ):
        clock = time.perf_counter()
        for done, metrics in enumerate(updates, begin + 1):
            env_steps += metrics.pop("env_steps", 0.0)
            if done % config.log_every == 0 or done == config.iterations:
                metrics.update({} if distribution.metric == "return" else _validation(training.learner, config, device))
                exact = {"iteration": done, "env_steps": int(env_steps), **metrics}
                for name in CLOCK:
                    del exact[name]
                progress.append(exact)
                now = time.perf_counter()
                rate = (env_steps - state["env_steps"]) / (now - clock)
                for name, value in metrics.items():
                    board.add_scalar(name, value, done)
                board.add_scalar("env_steps_per_second", rate, done)
                display.show(done, _describe(metrics, distribution.metric, rate))
            if done % config.checkpoint_every == 0 or done == config.iterations or interrupt.asked:
                seconds = state.get("seconds", 0.0) + time.perf_counter() - clock
                run.save(done, training, {"env_steps": env_steps, "seconds": seconds})
            if interrupt.asked and done < config.iterations:
                print(f"stopped after iteration {done}; go on with: metarl train --resume {run.path}", file=sys.stderr)
                raise SystemExit(130)


def _validation(learner: Learner, config: Config, device: torch.device) -> dict[str, float]:
    rng = generator(Stream.VALIDATE, config.seed)
    distribution = config.distribution(device, split="validation")
    tested = new_learner(config, distribution, device)  # whose number of ways is that of tests
    tested.load_state_dict(learner.state_dict())
    steps = max(1, learner.steps)  # a pre-trained initialisation is fine-tuned too
    shown = (0, steps)
    scores = evaluate(tested, distribution, steps=steps, tasks=VALIDATION_TASKS, rng=rng, at=shown, chunk=config.chunk)
    return {f"{distribution.metric}_{k}": float(row.mean()) for k, row in zip(shown, scores, strict=True)}


def _describe(metrics: dict[str, float], metric: str, rate: float) -> str:
    scores = {name.split("_")[1]: value for name, value in metrics.items() if name.startswith(metric + "_")}
    text = f"{metric} after {'/'.join(scores)} steps: {' / '.join(f'{score:.4g}' for score in scores.values())}"
    return f"{text}  {rate:,.0f} env steps/s" if rate else text


class Interrupt:
    """Turns a first Ctrl-C or SIGTERM into `asked`: the iteration is finished and saved. A second acts at once."""

    def __init__(self) -> None:
        self.asked = False
        self._old: dict[int, Any] = {}

    def __enter__(self) -> Interrupt:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._old[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, old in self._old.items():
            signal.signal(number, old)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        print("stopping after this iteration (once more: at once, losing it)", file=sys.stderr)
