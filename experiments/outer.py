"""Settings of outer loops, and how they are built."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Protocol

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
from metarl.algorithms.proximal import ProMP
from metarl.algorithms.reptile import Reptile
from metarl.algorithms.trust_region import TRPO
from metarl.core import Learner, Loss, Objective
from metarl.experiments.ppo import PPOConfig
from metarl.experiments.settings import Clip, Epochs, Number, Part, check_lrs
from metarl.experiments.tasks import TaskConfig
from metarl.learners.laplace import laplace, softmax_roots
from metarl.objectives import every, final
from metarl.ranges import NonNegative, Positive, Range, Share
from metarl.rl.guidance import imitation


class Inner(Protocol):
    """A learner, or the settings of one."""

    @property
    def steps(self) -> int: ...


def check_weights(step_weights: tuple[float, ...]) -> None:
    """Raise ValueError where no loss counts."""
    if step_weights and not sum(step_weights):
        raise ValueError(f"step_weights is {step_weights}: give one of the weights, at least, more than 0")


def check_steps(step_weights: tuple[float, ...], learner: Inner) -> None:
    """Raise ValueError where there is not one weight for each of the learner's inner steps."""
    if step_weights and len(step_weights) != learner.steps:
        raise ValueError(
            f"algorithm.step_weights has {len(step_weights)} entries for {learner.steps} inner steps: give one a step"
        )


@dataclass(frozen=True)
class DescentConfig(Part, path="algorithm"):
    """Adam on the meta-gradient: the outer step size goes linearly from `lr` to `lr_end` over the run."""

    lr: Positive = 1e-3
    lr_end: NonNegative = 1e-3
    step_weights: tuple[NonNegative, ...] = ()
    """of the query loss after each inner step; none: only the last counts, as in MAML"""
    freeze: str = ""
    """parameters whose name starts so are not meta-learned: net.head, where a last layer is to start at 0"""

    def check_together(self) -> None:
        check_lrs(self.lr, self.lr_end)
        check_weights(self.step_weights)

    def check(self, learner: Inner) -> None:
        """Raise ValueError where the settings do not go with `learner`, or with its settings."""
        check_steps(self.step_weights, learner)

    def build(
        self, learner: Learner, task: TaskConfig, loss: Loss, *, iterations: int, chunk: int | None
    ) -> Algorithm:
        return Descent(
            learner, self.objective(loss), optimizer=self.optimizer, scheduler=self.scheduler(iterations),
            freeze=self.freeze, chunk=chunk,
        )  # fmt: skip

    def optimizer(self, parameters: Iterable[Parameter]) -> Optimizer:
        return torch.optim.Adam(parameters, lr=self.lr)

    def scheduler(self, iterations: int) -> Callable[[Optimizer], LRScheduler]:
        end = self.lr_end / self.lr
        return lambda o: torch.optim.lr_scheduler.LinearLR(o, 1.0, end, total_iters=iterations)

    def objective(self, loss: Loss) -> Objective:
        return every(loss, self.step_weights) if self.step_weights else final(loss)


@dataclass(frozen=True)
class LaplaceConfig(DescentConfig):
    """MAML as empirical Bayes: the curvature of the adapted head adds to the query loss of a classifier."""

    weight: NonNegative = 1e-6
    """of its log-determinant"""

    def objective(self, loss: Loss) -> Objective:
        return laplace(super().objective(loss), softmax_roots, weight=self.weight)


@dataclass(frozen=True)
class MultiStepConfig(Part, path="algorithm"):
    """MAML++'s outer loop: the loss after each inner step counts, less and less; Adam's step size follows a cosine."""

    lr: Positive = 1e-3
    lr_end: NonNegative = 1e-5
    annealing: Share = 0.15
    """share of the iterations after which only the last inner step's loss counts"""
    freeze: str = ""
    """parameters whose name starts so are not meta-learned"""

    def check_together(self) -> None:
        check_lrs(self.lr, self.lr_end)

    def build(
        self, learner: Learner, task: TaskConfig, loss: Loss, *, iterations: int, chunk: int | None
    ) -> Algorithm:
        return MultiStep(
            learner, loss, annealing=max(1, round(self.annealing * iterations)), freeze=self.freeze, chunk=chunk,
            optimizer=lambda p: torch.optim.Adam(p, lr=self.lr),
            scheduler=lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, iterations, eta_min=self.lr_end),
        )  # fmt: skip


@dataclass(frozen=True)
class AlphaConfig(Part, path="algorithm"):
    """Alpha MAML's: gradient descent that adapts its step size, and the inner loop's, by hypergradients."""

    lr: Positive = 0.05
    inner_hyper: NonNegative = 0.01
    """step size of the inner step size"""
    outer_hyper: NonNegative = 1e-3
    """step size of the outer step size"""

    def build(
        self, learner: Learner, task: TaskConfig, loss: Loss, *, iterations: int, chunk: int | None
    ) -> Algorithm:
        if not isinstance(learner, AlphaLearner):
            raise ValueError("Alpha MAML's outer loop adapts the step size of its own learner: choose alpha-maml's")
        return AlphaMAML(
            learner, final(loss), lr=self.lr, inner_hyper=self.inner_hyper, outer_hyper=self.outer_hyper,
            chunk=chunk,
        )  # fmt: skip


@dataclass(frozen=True)
class ReptileConfig(Part, path="algorithm"):
    """Reptile: the outer step size falls linearly from `lr` to `lr_end` over the run."""

    lr: Annotated[float, Range(0, 1, above=True)] = 1.0
    lr_end: NonNegative = 0.0
    freeze: str = ""
    """parameters whose name starts so are not meta-learned: net.head, where a last layer is to start at 0"""

    def check_together(self) -> None:
        check_lrs(self.lr, self.lr_end)

    def build(
        self, learner: Learner, task: TaskConfig, loss: Loss, *, iterations: int, chunk: int | None
    ) -> Algorithm:
        return Reptile(
            learner, lr=self.lr, lr_end=self.lr_end, iterations=iterations, freeze=self.freeze, chunk=chunk
        )


@dataclass(frozen=True)
class TrustRegionConfig(Part, path="algorithm"):
    """Trust region (TRPO) over the adapted learners."""

    max_kl: Positive = 0.01
    cg_steps: Annotated[int, Range(1, 10_000)] = 10
    damping: NonNegative = 1e-5
    backtrack: Annotated[float, Range(0, 1, above=True, below=True)] = 0.8
    backtracks: Annotated[int, Range(1, 10_000)] = 15
    curvature_every: tuple[Number, Number] = (6, 15)
    """Hessian products use every n-th time step of support and query; 1 1: all"""
    recompute: bool = False
    """build the products' graphs anew for each: less memory, half as fast"""
    step_weights: tuple[NonNegative, ...] = ()
    """of the loss after each inner step, each on the batch that its own policy collected; none: only the last counts"""

    def check_together(self) -> None:
        check_weights(self.step_weights)

    def check(self, learner: Inner) -> None:
        """Raise ValueError where the settings do not go with `learner`, or with its settings."""
        check_steps(self.step_weights, learner)

    def build(
        self, learner: Learner, task: TaskConfig, loss: Loss, *, iterations: int, chunk: int | None
    ) -> Algorithm:
        return TRPO(
            learner, loss, task.divergence, max_kl=self.max_kl, cg_steps=self.cg_steps, damping=self.damping,
            backtrack=self.backtrack, backtracks=self.backtracks,
            curvature_every=self.curvature_every, recompute=self.recompute, step_weights=self.step_weights, chunk=chunk,
        )  # fmt: skip


@dataclass(frozen=True)
class ProximalConfig(Part, path="algorithm"):
    """ProMP: clipped epochs with a KL penalty."""

    lr: Positive = 1e-3
    """outer step size of Adam"""
    epochs: Epochs = 5
    clip: Clip = 0.3
    penalty: NonNegative = 5e-4

    def build(
        self, learner: Learner, task: TaskConfig, loss: Loss, *, iterations: int, chunk: int | None
    ) -> Algorithm:
        return ProMP(
            learner, final(task.clipped(self.clip)), task.divergence, epochs=self.epochs, penalty=self.penalty,
            optimizer=lambda p: torch.optim.Adam(p, lr=self.lr), chunk=chunk,
        )  # fmt: skip


@dataclass(frozen=True)
class GuidedConfig(DescentConfig):
    """Guided meta-policy search: epochs of Adam in which adapted policies come to imitate one that is told the task."""

    expert: Annotated[str, tyro.conf.arg(name="expert", prefix_name=False)] = ""
    """run folder of a policy that is told the task: `metarl train TASK-oracle` makes one"""
    lr_end: NonNegative = 1e-4
    epochs: Epochs = 10
    penalty: NonNegative = 1.0
    """weight of the KL from the policies that collected the support batches"""

    def build(
        self, learner: Learner, task: TaskConfig, loss: Loss, *, iterations: int, chunk: int | None
    ) -> Algorithm:
        return ProMP(
            learner, self.objective(imitation), task.divergence, optimizer=self.optimizer,
            scheduler=self.scheduler(iterations), epochs=self.epochs, penalty=self.penalty, freeze=self.freeze,
            chunk=chunk,
        )  # fmt: skip


@dataclass(frozen=True)
class FixedConfig(Part, path="algorithm"):
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
