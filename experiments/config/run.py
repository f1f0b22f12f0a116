"""All settings of a run, from which its tasks, its learner and its training are created."""

from __future__ import annotations

import os
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

from metarl.compiled import Mode, compile_training
from metarl.experiments.config.parts import LearnerSettings, OuterSettings, TaskSettings
from metarl.experiments.config.settings import INCIDENTAL, Cores, Iterations, Number, Seed, Steps
from metarl.ranges import Settings, Whole, shown

if TYPE_CHECKING:
    import torch

    from metarl.algorithms.base import Algorithm
    from metarl.core import Distribution, Learner
    from metarl.run.checkpoint import Training
    from metarl.run.loop import Schedule
    from metarl.tasks.datasets.folder import Split


@dataclass(frozen=True)
class Config(Settings):
    """All settings of a run."""

    task: TaskSettings
    learner: LearnerSettings
    algorithm: OuterSettings
    meta_batch: Number = 40
    """number of tasks per iteration; for PPO, number of sub-environments"""
    iterations: Iterations = 500
    """number of updates of the outer loop"""
    seed: Seed = field(default=0, metadata=INCIDENTAL)
    """seed of all random numbers of the run"""
    chunk: Number | None = field(default=None, metadata=INCIDENTAL)
    """number of tasks that each thread differentiates at a time; None: all, which needs the most memory"""
    threads: Cores = field(default=0, metadata=INCIDENTAL)
    """number of simulator threads, on which results do not depend; 0: the number of cores"""
    torch_threads: Cores = field(default=0, metadata=INCIDENTAL)
    """number of torch's threads on the CPU, which affects rounding and is saved with the run; 0: torch's default"""
    compile: Mode = field(default="off", metadata=INCIDENTAL)
    """whether supervised meta-gradients are compiled, which takes minutes at first and affects rounding; auto: only in
    runs of at least 20,000 iterations"""
    log_every: Number = field(default=1, metadata=INCIDENTAL)
    """number of iterations between rows of progress.csv"""
    checkpoint_every: Number = 10
    """number of iterations between checkpoints"""
    keep: Whole = field(default=6, metadata=INCIDENTAL)
    """number of evenly spaced checkpoints that are kept in addition to the newest two; 0: all"""
    test_steps: Steps = field(default=3, metadata=INCIDENTAL)
    """maximum number of gradient steps in `metarl evaluate`"""
    test_tasks: Number = field(default=40, metadata=INCIDENTAL)
    """number of held-out tasks in `metarl evaluate`"""
    validation_tasks: Number = field(default=40, metadata=INCIDENTAL)
    """number of validation tasks for choosing the best checkpoint"""

    def check_together(self) -> None:
        self.task.check(self)
        self.learner.check(self)
        self.algorithm.check(self)

    @property
    def env_steps(self) -> int:
        """The number of environment steps per iteration if no episode ends early; 0 for supervised tasks."""
        return self.algorithm.env_steps(self)

    @property
    def tasks(self) -> int:
        """The number of tasks per iteration, each with all its trajectories (for PPO, one per sub-environment)."""
        return self.algorithm.tasks(self)

    @property
    def schedule(self) -> Schedule:
        """The number of iterations, and when rows of progress and checkpoints are written."""
        from metarl.run.loop import Schedule

        return Schedule(self.iterations, self.log_every, self.checkpoint_every, self.keep)

    def with_data(self, data: str | None = None) -> Config:
        """These settings with `data` (None: the current setting) as the folder of images, as an absolute path."""
        return replace(self, task=self.task.with_data(None if data is None else os.path.abspath(data)))

    def distribution(self, device: torch.device, *, split: Split = "train") -> Distribution:
        """The distribution of tasks for training, for choosing a checkpoint ("validation") or for tests."""
        return self.task.distribution(device, threads=self.threads, split=split)

    def build_learner(self, distribution: Distribution, device: torch.device) -> Learner:
        """A learner with weights that are initialised with torch's random number generator."""
        return self.learner.build(self.task, distribution).to(device)

    def outer_loop(self, learner: Learner) -> Algorithm:
        """The outer loop for `learner`. Raises ValueError for a training method that is not an outer loop."""
        return self.algorithm.outer_loop(self, learner)

    def training(self, learner: Learner, distribution: Distribution, device: torch.device) -> Training:
        """The training of `learner` on the tasks of `distribution`."""
        training = self.algorithm.training(self, learner, distribution, device)
        compile_training(training, self.compile)
        return training


def restore(default: Any, values: Any, *, where: str = "settings") -> Any:
    """Settings of the same dataclass as `default`, from JSON `values`, in which lists stand for tuples.

    A setting that is missing in `values` did not exist when the run was made. It gets the default of its class, with
    which the run behaves as it did then, and not the value of the present preset. Raises ValueError for an unknown
    name, a missing part or an invalid value.
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
