"""Settings of an experiment as typed dataclasses, and how they become tasks, learners and algorithms."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import torch

from metarl.algorithms.base import Algorithm
from metarl.algorithms.descent import Descent
from metarl.algorithms.fixed import Fixed
from metarl.algorithms.proximal import Proximal
from metarl.algorithms.reptile import Reptile
from metarl.algorithms.trust_region import TrustRegion
from metarl.core import Distribution, Learner, Loss, every, final
from metarl.envs import world_class
from metarl.experiments.encoded import EncodedConfig
from metarl.experiments.ppo import PPOConfig
from metarl.experiments.tasks import LocomotionConfig, TaskConfig
from metarl.learners.gradient import GradientLearner
from metarl.tasks.folder import Split


@dataclass(frozen=True)
class LearnerConfig:
    """The gradient learner (MAML and its kin)."""

    steps: int = 1
    """inner steps in training"""
    rate: tuple[float, ...] = (0.1,)
    """inner step size for step 1, 2, …; the last holds for all further steps"""
    first_order: bool = False
    learn_rate: bool = False
    """Meta-SGD: a learned step size for each parameter"""
    fast: str = ""
    """adapt only parameters whose name starts so (ANIL)"""

    @property
    def words(self) -> str:
        """For `metarl list`."""
        kind = ", first order" if self.first_order else ", learned α" if self.learn_rate else ""
        return f"{self.steps} step{'s' if self.steps != 1 else ''}, α {self.rate[0]}{kind}"

    def loss(self, task: TaskConfig) -> Loss:
        """What the outer loop lowers."""
        return task.loss

    def build(self, task: TaskConfig, distribution: Distribution) -> GradientLearner:
        return GradientLearner(
            task.net(distribution), task.loss, steps=self.steps, rate=self.rate, first_order=self.first_order,
            learn_rate=self.learn_rate, fast=self.fast,
        )  # fmt: skip


@dataclass(frozen=True)
class DescentConfig:
    """Adam on the meta-gradient: the outer step size goes linearly from `rate` to `rate_end` over the run."""

    rate: float = 1e-3
    rate_end: float = 1e-3
    step_weights: tuple[float, ...] = ()
    """of the query loss after each inner step; none: only the last counts, as in MAML"""

    def build(
        self, learner: Learner, task: TaskConfig, loss: Loss, *, iterations: int, chunk: int | None
    ) -> Algorithm:
        if self.rate <= 0 or not 0 <= self.rate_end <= self.rate:
            raise ValueError(f"rate is {self.rate} and rate_end {self.rate_end}: give rate > 0 and 0 ≤ rate_end ≤ rate")
        if self.step_weights and len(self.step_weights) != learner.steps:
            raise ValueError(f"step_weights has {len(self.step_weights)} entries for {learner.steps} inner steps")
        end = self.rate_end / self.rate
        objective = every(loss, self.step_weights) if self.step_weights else final(loss)
        return Descent(
            learner, objective, optimizer=lambda p: torch.optim.Adam(p, lr=self.rate), chunk=chunk,
            scheduler=lambda o: torch.optim.lr_scheduler.LinearLR(o, 1.0, end, total_iters=iterations),
        )  # fmt: skip


@dataclass(frozen=True)
class ReptileConfig:
    """Reptile: the outer step size falls linearly from `rate` to `rate_end` over the run."""

    rate: float = 1.0
    rate_end: float = 0.0

    def build(
        self, learner: Learner, task: TaskConfig, loss: Loss, *, iterations: int, chunk: int | None
    ) -> Algorithm:
        return Reptile(learner, rate=self.rate, rate_end=self.rate_end, iterations=iterations, chunk=chunk)


@dataclass(frozen=True)
class TrustRegionConfig:
    """Trust region (TRPO) over the adapted learners."""

    max_kl: float = 0.01
    cg_steps: int = 10
    damping: float = 1e-5
    backtrack: float = 0.8
    backtracks: int = 15
    curvature_every: tuple[int, int] = (3, 15)
    """Hessian products use every n-th time step of support and query; 1 1: all"""
    recompute: bool = False
    """build the products' graphs anew for each: less memory, half as fast"""

    def build(
        self, learner: Learner, task: TaskConfig, loss: Loss, *, iterations: int, chunk: int | None
    ) -> Algorithm:
        return TrustRegion(
            learner, loss, task.divergence, max_kl=self.max_kl, cg_steps=self.cg_steps, damping=self.damping,
            backtrack=self.backtrack, backtracks=self.backtracks,
            curvature_every=self.curvature_every, recompute=self.recompute, chunk=chunk,
        )  # fmt: skip


@dataclass(frozen=True)
class ProximalConfig:
    """ProMP: clipped epochs with a KL penalty."""

    rate: float = 1e-3
    """outer step size of Adam"""
    epochs: int = 5
    clip: float = 0.3
    penalty: float = 5e-4

    def build(
        self, learner: Learner, task: TaskConfig, loss: Loss, *, iterations: int, chunk: int | None
    ) -> Algorithm:
        return Proximal(
            learner, task.clipped(self.clip), task.divergence, optimizer=lambda p: torch.optim.Adam(p, lr=self.rate),
            epochs=self.epochs, penalty=self.penalty, chunk=chunk,
        )  # fmt: skip


@dataclass(frozen=True)
class FixedConfig:
    """No training: for baselines that have nothing to learn."""

    def build(
        self, learner: Learner, task: TaskConfig, loss: Loss, *, iterations: int, chunk: int | None
    ) -> Algorithm:
        return Fixed(learner, chunk=chunk)


AlgorithmConfig = DescentConfig | ReptileConfig | TrustRegionConfig | ProximalConfig | PPOConfig | FixedConfig


@dataclass(frozen=True)
class Config:
    """Every setting of a run."""

    task: TaskConfig
    learner: LearnerConfig | EncodedConfig
    algorithm: AlgorithmConfig
    meta_batch: int = 40
    """tasks an iteration; for PPO: sub-environments"""
    iterations: int = 500
    seed: int = 0
    chunk: int | None = None
    """tasks differentiated at a time, by each thread; None: all (most memory)"""
    threads: int = 0
    """simulator threads; 0: all cores; results do not depend on it"""
    torch_threads: int = 0
    """torch's threads on the CPU; 0: as torch finds it, and recorded: sums in float32 differ in the last bit by it"""
    log_every: int = 1
    """iterations a row of progress.csv"""
    checkpoint_every: int = 10
    """iterations a checkpoint"""
    test_steps: int = 3
    """gradient steps that `metarl evaluate` shows"""
    test_tasks: int = 40
    """tasks that `metarl evaluate` averages over"""

    def __post_init__(self) -> None:
        for name in ("meta_batch", "iterations", "log_every", "checkpoint_every", "test_tasks"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: give a positive number")
        for name in ("seed", "threads", "torch_threads", "test_steps"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}: give 0 or a positive number")
        if isinstance(self.algorithm, PPOConfig) and not isinstance(self.task, LocomotionConfig):
            raise ValueError("PPO trains in environments: give a supervised task another algorithm")

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

    def distribution(self, device: torch.device, *, split: Split = "train") -> Distribution:
        """The tasks to train on, to choose a checkpoint by ("validation"), or to test on."""
        return self.task.distribution(device, threads=self.threads, split=split)

    def build_learner(self, distribution: Distribution, device: torch.device) -> Learner:
        """A learner with fresh weights, drawn from torch's generator."""
        return self.learner.build(self.task, distribution).to(device)

    def build_algorithm(self, learner: Learner) -> Algorithm:
        loss = self.learner.loss(self.task)
        return self.algorithm.build(learner, self.task, loss, iterations=self.iterations, chunk=self.chunk)


def restore(default: Any, values: dict[str, Any], *, where: str = "settings") -> Any:
    """`default`, a dataclass, with `values` from JSON put in, lists as tuples. ValueError for an unknown name."""
    known = {f.name for f in fields(default)}
    unknown = sorted(values.keys() - known)
    if unknown:
        raise ValueError(f"{where} has no {unknown[0]!r}: the run was made by another version of metarl, or edited")
    changed = {}
    for name, value in values.items():
        old = getattr(default, name)
        if is_dataclass(old):
            value = restore(old, value, where=f"{where}.{name}")
        elif isinstance(value, list):
            value = tuple(value)
        changed[name] = value
    return replace(default, **changed)
