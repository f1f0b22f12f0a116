"""Settings of outer loops, and how they are built."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated

import torch
import tyro
from torch.nn import Parameter
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from metarl.algorithms.alpha import AlphaLearner, AlphaMAML
from metarl.algorithms.base import Algorithm
from metarl.algorithms.descent import Descent
from metarl.algorithms.fixed import Fixed
from metarl.algorithms.multi_step import MultiStep
from metarl.algorithms.proximal import Proximal
from metarl.algorithms.reptile import Reptile
from metarl.algorithms.trust_region import TrustRegion
from metarl.core import Learner, Loss, Objective, every, final
from metarl.experiments.ppo import PPOConfig
from metarl.experiments.tasks import TaskConfig
from metarl.learners.laplace import laplace, softmax_roots
from metarl.rl.guidance import imitation


@dataclass(frozen=True)
class DescentConfig:
    """Adam on the meta-gradient: the outer step size goes linearly from `rate` to `rate_end` over the run."""

    rate: float = 1e-3
    rate_end: float = 1e-3
    step_weights: tuple[float, ...] = ()
    """of the query loss after each inner step; none: only the last counts, as in MAML"""
    fixed: str = ""
    """parameters whose name starts so are not meta-learned: net.head, where a last layer is to start at 0"""

    def build(
        self, learner: Learner, task: TaskConfig, loss: Loss, *, iterations: int, chunk: int | None
    ) -> Algorithm:
        self.check(learner)
        return Descent(
            learner, self.objective(loss), optimizer=self.optimizer, scheduler=self.scheduler(iterations),
            fixed=self.fixed, chunk=chunk,
        )  # fmt: skip

    def check(self, learner: Learner) -> None:
        """Raise ValueError where the settings do not go together or with `learner`."""
        if self.rate <= 0 or not 0 <= self.rate_end <= self.rate:
            raise ValueError(f"rate is {self.rate} and rate_end {self.rate_end}: give rate > 0 and 0 ≤ rate_end ≤ rate")
        if self.step_weights and len(self.step_weights) != learner.steps:
            raise ValueError(f"step_weights has {len(self.step_weights)} entries for {learner.steps} inner steps")

    def optimizer(self, parameters: Iterable[Parameter]) -> Optimizer:
        return torch.optim.Adam(parameters, lr=self.rate)

    def scheduler(self, iterations: int) -> Callable[[Optimizer], LRScheduler]:
        end = self.rate_end / self.rate
        return lambda o: torch.optim.lr_scheduler.LinearLR(o, 1.0, end, total_iters=iterations)

    def objective(self, loss: Loss) -> Objective:
        return every(loss, self.step_weights) if self.step_weights else final(loss)


@dataclass(frozen=True)
class LaplaceConfig(DescentConfig):
    """MAML as empirical Bayes: the curvature of the adapted head adds to the query loss of a classifier."""

    weight: float = 1e-6
    """of its log-determinant"""

    def objective(self, loss: Loss) -> Objective:
        return laplace(loss, softmax_roots, weight=self.weight)


@dataclass(frozen=True)
class MultiStepConfig:
    """MAML++'s outer loop: the loss after each inner step counts, less and less; Adam's step size follows a cosine."""

    rate: float = 1e-3
    rate_end: float = 1e-5
    annealing: float = 0.15
    """share of the iterations after which only the last inner step's loss counts"""
    fixed: str = ""
    """parameters whose name starts so are not meta-learned"""

    def build(
        self, learner: Learner, task: TaskConfig, loss: Loss, *, iterations: int, chunk: int | None
    ) -> Algorithm:
        return MultiStep(
            learner, loss, annealing=max(1, round(self.annealing * iterations)), fixed=self.fixed, chunk=chunk,
            optimizer=lambda p: torch.optim.Adam(p, lr=self.rate),
            scheduler=lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, iterations, eta_min=self.rate_end),
        )  # fmt: skip


@dataclass(frozen=True)
class AlphaConfig:
    """Alpha MAML's: gradient descent that adapts its step size, and the inner loop's, by hypergradients."""

    rate: float = 0.05
    inner_hyper: float = 0.01
    """step size of the inner step size"""
    outer_hyper: float = 1e-3
    """step size of the outer step size"""

    def build(
        self, learner: Learner, task: TaskConfig, loss: Loss, *, iterations: int, chunk: int | None
    ) -> Algorithm:
        if not isinstance(learner, AlphaLearner):
            raise ValueError("Alpha MAML's outer loop adapts the step size of its own learner: choose alpha-maml's")
        return AlphaMAML(
            learner, final(loss), rate=self.rate, inner_hyper=self.inner_hyper, outer_hyper=self.outer_hyper,
            chunk=chunk,
        )  # fmt: skip


@dataclass(frozen=True)
class ReptileConfig:
    """Reptile: the outer step size falls linearly from `rate` to `rate_end` over the run."""

    rate: float = 1.0
    rate_end: float = 0.0
    fixed: str = ""
    """parameters whose name starts so are not meta-learned: net.head, where a last layer is to start at 0"""

    def build(
        self, learner: Learner, task: TaskConfig, loss: Loss, *, iterations: int, chunk: int | None
    ) -> Algorithm:
        return Reptile(
            learner, rate=self.rate, rate_end=self.rate_end, iterations=iterations, fixed=self.fixed, chunk=chunk
        )


@dataclass(frozen=True)
class TrustRegionConfig:
    """Trust region (TRPO) over the adapted learners."""

    max_kl: float = 0.01
    cg_steps: int = 10
    damping: float = 1e-5
    backtrack: float = 0.8
    backtracks: int = 15
    curvature_every: tuple[int, int] = (6, 15)
    """Hessian products use every n-th time step of support and query; 1 1: all"""
    recompute: bool = False
    """build the products' graphs anew for each: less memory, half as fast"""
    step_weights: tuple[float, ...] = ()
    """of the loss after each inner step, each on the batch that its own policy collected; none: only the last counts"""

    def build(
        self, learner: Learner, task: TaskConfig, loss: Loss, *, iterations: int, chunk: int | None
    ) -> Algorithm:
        return TrustRegion(
            learner, loss, task.divergence, max_kl=self.max_kl, cg_steps=self.cg_steps, damping=self.damping,
            backtrack=self.backtrack, backtracks=self.backtracks,
            curvature_every=self.curvature_every, recompute=self.recompute, step_weights=self.step_weights, chunk=chunk,
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
            learner, final(task.clipped(self.clip)), task.divergence, epochs=self.epochs, penalty=self.penalty,
            optimizer=lambda p: torch.optim.Adam(p, lr=self.rate), chunk=chunk,
        )  # fmt: skip


@dataclass(frozen=True)
class GuidedConfig(DescentConfig):
    """Guided meta-policy search: epochs of Adam in which adapted policies come to imitate one that is told the task."""

    expert: Annotated[str, tyro.conf.arg(name="expert", prefix_name=False)] = ""
    """run folder of a policy that is told the task: `metarl train TASK-oracle` makes one"""
    rate_end: float = 1e-4
    epochs: int = 10
    penalty: float = 1.0
    """weight of the KL from the policies that collected the support batches"""

    def build(
        self, learner: Learner, task: TaskConfig, loss: Loss, *, iterations: int, chunk: int | None
    ) -> Algorithm:
        self.check(learner)
        return Proximal(
            learner, self.objective(imitation), task.divergence, optimizer=self.optimizer,
            scheduler=self.scheduler(iterations), epochs=self.epochs, penalty=self.penalty, fixed=self.fixed,
            chunk=chunk,
        )  # fmt: skip


@dataclass(frozen=True)
class FixedConfig:
    """No training: for baselines that have nothing to learn."""

    def build(
        self, learner: Learner, task: TaskConfig, loss: Loss, *, iterations: int, chunk: int | None
    ) -> Algorithm:
        return Fixed(learner, chunk=chunk)


AlgorithmConfig = (
    DescentConfig
    | LaplaceConfig
    | MultiStepConfig
    | AlphaConfig
    | ReptileConfig
    | TrustRegionConfig
    | ProximalConfig
    | GuidedConfig
    | PPOConfig
    | FixedConfig
)
