"""Every setting of a run, and how settings become tasks, a learner and what trains it."""

from __future__ import annotations

import os
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

from metarl.experiments.config.parts import LearnerSettings, OuterSettings, TaskSettings
from metarl.experiments.config.settings import FREE, Cores, Iterations, Number, Seed, Steps
from metarl.ranges import Settings, Whole, shown

if TYPE_CHECKING:
    import torch

    from metarl.algorithms.base import Algorithm
    from metarl.core import Distribution, Learner
    from metarl.run.checkpoint import Training
    from metarl.run.loop import Schedule
    from metarl.tasks.folder import Split


@dataclass(frozen=True)
class Config(Settings):
    """Every setting of a run."""

    task: TaskSettings
    learner: LearnerSettings
    algorithm: OuterSettings
    meta_batch: Number = 40
    """tasks an iteration; for PPO: sub-environments"""
    iterations: Iterations = 500
    """updates of the outer loop"""
    seed: Seed = field(default=0, metadata=FREE)
    """what all random numbers of the run follow from"""
    chunk: Number | None = field(default=None, metadata=FREE)
    """tasks differentiated at a time, by each thread; None: all (most memory)"""
    threads: Cores = field(default=0, metadata=FREE)
    """simulator threads; 0: all cores; results do not depend on it"""
    torch_threads: Cores = field(default=0, metadata=FREE)
    """torch's threads on the CPU; 0: as torch finds it, and recorded: sums in float32 differ in the last bit by it"""
    log_every: Number = field(default=1, metadata=FREE)
    """iterations a row of progress.csv"""
    checkpoint_every: Number = 10
    """iterations a checkpoint"""
    keep: Whole = field(default=6, metadata=FREE)
    """checkpoints that are kept, evenly spaced, beside the newest two; 0: all"""
    test_steps: Steps = field(default=3, metadata=FREE)
    """gradient steps that `metarl evaluate` shows"""
    test_tasks: Number = field(default=40, metadata=FREE)
    """tasks that `metarl evaluate` averages over"""
    validation_tasks: Number = field(default=40, metadata=FREE)
    """tasks that the best checkpoint is chosen by"""

    def check_together(self) -> None:
        self.task.check(self)
        self.learner.check(self)
        self.algorithm.check(self)

    @property
    def env_steps(self) -> int:
        """Environment steps an iteration takes where no episode ends early; 0 for supervised tasks."""
        return self.algorithm.env_steps(self)

    @property
    def tasks(self) -> int:
        """Tasks an iteration, with all their trajectories; PPO's sub-environments have one each."""
        return self.algorithm.tasks(self)

    @property
    def schedule(self) -> Schedule:
        """How long the run is, and what it writes when."""
        from metarl.run.loop import Schedule

        return Schedule(self.iterations, self.log_every, self.checkpoint_every, self.keep)

    def with_data(self, data: str | None = None) -> Config:
        """The same with the images in the folder `data` (None: the one that is set), as an absolute path."""
        return replace(self, task=self.task.with_data(None if data is None else os.path.abspath(data)))

    def distribution(self, device: torch.device, *, split: Split = "train") -> Distribution:
        """The tasks to train on, to choose a checkpoint by ("validation"), or to test on."""
        return self.task.distribution(device, threads=self.threads, split=split)

    def build_learner(self, distribution: Distribution, device: torch.device) -> Learner:
        """A learner with fresh weights, drawn from torch's generator."""
        return self.learner.build(self.task, distribution).to(device)

    def outer_loop(self, learner: Learner) -> Algorithm:
        """The outer loop over `learner`. Raises ValueError for settings of a way to train that has none."""
        return self.algorithm.outer_loop(self, learner)

    def training(self, learner: Learner, distribution: Distribution, device: torch.device) -> Training:
        """What trains `learner` on the tasks of `distribution`."""
        return self.algorithm.training(self, learner, distribution, device)


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
        changed[name] = _as_tuple(value)
    return type(default)(**changed)


def _as_tuple(value: Any) -> Any:
    return tuple(map(_as_tuple, value)) if isinstance(value, list) else value
