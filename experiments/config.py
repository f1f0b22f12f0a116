"""Settings of an experiment as typed dataclasses, and how they become tasks, learners and algorithms."""

from __future__ import annotations

import os
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from typing import Any

import torch

from metarl.algorithms.base import Algorithm
from metarl.core import Distribution, Learner
from metarl.envs import world_class
from metarl.experiments.encoded import EncodedConfig
from metarl.experiments.inner import AdaptedConfig, LearnerConfig
from metarl.experiments.outer import AlgorithmConfig, GuidedConfig, ReptileConfig
from metarl.experiments.ppo import PPOConfig
from metarl.experiments.settings import Cores, Iterations, Number, Seed, Steps
from metarl.experiments.tasks import ImagesConfig, LocomotionConfig, TaskConfig
from metarl.ranges import Settings, Whole, shown
from metarl.run.loop import Schedule
from metarl.tasks.folder import Split


@dataclass(frozen=True)
class Config(Settings):
    """Every setting of a run."""

    task: TaskConfig
    learner: LearnerConfig | AdaptedConfig | EncodedConfig
    algorithm: AlgorithmConfig
    meta_batch: Number = 40
    """tasks an iteration; for PPO: sub-environments"""
    iterations: Iterations = 500
    seed: Seed = 0
    chunk: Number | None = None
    """tasks differentiated at a time, by each thread; None: all (most memory)"""
    threads: Cores = 0
    """simulator threads; 0: all cores; results do not depend on it"""
    torch_threads: Cores = 0
    """torch's threads on the CPU; 0: as torch finds it, and recorded: sums in float32 differ in the last bit by it"""
    log_every: Number = 1
    """iterations a row of progress.csv"""
    checkpoint_every: Number = 10
    """iterations a checkpoint"""
    keep: Whole = 6
    """checkpoints that are kept, evenly spaced, beside the newest two; 0: all"""
    test_steps: Steps = 3
    """gradient steps that `metarl evaluate` shows"""
    test_tasks: Number = 40
    """tasks that `metarl evaluate` averages over"""
    validation_tasks: Number = 40
    """tasks that the best checkpoint is chosen by"""

    def check_together(self) -> None:
        self.learner.check(self.task)
        self.algorithm.check(self.learner)
        if isinstance(self.task, ImagesConfig) and self.task.train_ways and not isinstance(self.learner, EncodedConfig):
            raise ValueError(
                f"task.train_ways is {self.task.train_ways}, but this learner's head has an output a way: leave it "
                "out, training has the ways of tests"
            )
        if isinstance(self.algorithm, PPOConfig | GuidedConfig) and not isinstance(self.task, LocomotionConfig):
            name = type(self.algorithm).__name__.removesuffix("Config")
            raise ValueError(f"algorithm is {name}, which trains in environments: give a supervised task another one")

    @property
    def env_steps(self) -> int:
        """Environment steps an iteration takes where no episode ends early; 0 for supervised tasks."""
        if not isinstance(self.task, LocomotionConfig):
            return 0
        horizon = self.task.horizon or world_class(self.task.env).default_horizon
        if isinstance(self.algorithm, PPOConfig):
            return self.meta_batch * horizon
        batches = self.learner.steps + (not isinstance(self.algorithm, ReptileConfig))
        return self.meta_batch * self.task.in_training * horizon * batches

    @property
    def tasks(self) -> int:
        """Tasks an iteration, with all their trajectories; PPO's sub-environments have one each."""
        if isinstance(self.algorithm, PPOConfig) and isinstance(self.task, LocomotionConfig):
            return -(-self.meta_batch // self.task.in_training)
        return self.meta_batch

    @property
    def schedule(self) -> Schedule:
        """How long the run is, and what it writes when."""
        return Schedule(self.iterations, self.log_every, self.checkpoint_every, self.keep)

    def with_data(self, data: str | None = None) -> Config:
        """The same with the images in the folder `data` (None: the one that is set), as an absolute path."""
        if not isinstance(self.task, ImagesConfig):
            if data is not None:
                raise ValueError(f"data is {data}: the tasks of this run need no data set, leave it out")
            return self
        task = self.task if data is None else replace(self.task, data=data)
        return self if task.data is None else replace(self, task=replace(task, data=os.path.abspath(task.data)))

    def distribution(self, device: torch.device, *, split: Split = "train") -> Distribution:
        """The tasks to train on, to choose a checkpoint by ("validation"), or to test on."""
        return self.task.distribution(device, threads=self.threads, split=split)

    def build_learner(self, distribution: Distribution, device: torch.device) -> Learner:
        """A learner with fresh weights, drawn from torch's generator."""
        return self.learner.build(self.task, distribution).to(device)

    def build_algorithm(self, learner: Learner) -> Algorithm:
        loss = self.learner.loss(self.task)
        return self.algorithm.build(learner, self.task, loss, iterations=self.iterations, chunk=self.chunk)


def restore(default: Any, values: Any, *, where: str = "settings") -> Any:
    """Settings of the class of `default`, a dataclass, from JSON `values`, lists as tuples.

    A setting that is not among them did not exist when the run was made: it gets its class's default, under which all
    is as it was, not what the preset says today. Raises ValueError for an unknown name, a part that is missing and a
    value that the setting does not take.
    """
    if not isinstance(values, dict):
        raise ValueError(f"{where} is {shown(values)}: give a part of the settings, {{name: value}}")
    known = {f.name: f for f in fields(default)}
    if unknown := sorted(values.keys() - known):
        raise ValueError(f"{where} has no {unknown[0]!r}: the run was made by another version of metarl, or edited")
    missing = [name for name, f in known.items() if f.default is MISSING and name not in values]
    if missing:
        raise ValueError(f"{where} lacks {missing[0]!r}: the run was made by another version of metarl, or edited")
    changed = {}
    for name, value in values.items():
        old = getattr(default, name)
        if is_dataclass(old):
            value = restore(old, value, where=f"{where}.{name}")
        changed[name] = tuple(value) if isinstance(value, list) else value
    return type(default)(**changed)
