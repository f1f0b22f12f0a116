"""Settings of inner loops that make gradient steps, and how they are built: a line in `ADAPTED` lists each method."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from metarl.algorithms.alpha import AlphaLearner
from metarl.core import Distribution, Learner, Loss
from metarl.experiments.names import nearest
from metarl.experiments.settings import Part, Steps
from metarl.experiments.tasks import ImagesConfig, SinusoidConfig, TaskConfig, conv4
from metarl.learners.adam import Adam
from metarl.learners.context import CAVIA, Concatenated, FiLM
from metarl.learners.gradient import GradientLearner
from metarl.learners.implicit import IMAML
from metarl.learners.laplace import Headed
from metarl.learners.learned_optimizer import LearnedOptimizer
from metarl.learners.meta_lstm import MetaLSTM
from metarl.learners.per_step import MAMLPlusPlus
from metarl.nets.mlp import MLP
from metarl.ranges import NonNegative


@dataclass(frozen=True)
class LearnerConfig(Part, path="learner"):
    """The gradient learner (MAML and its kin)."""

    steps: Steps = 1
    """inner steps in training"""
    lr: tuple[NonNegative, ...] = (0.1,)
    """inner step size for step 1, 2, …; the last holds for all further steps"""
    first_order: bool = False
    learn_lr: bool = False
    """Meta-SGD: a learned step size for each parameter"""
    adapt: str = ""
    """adapt only parameters whose name starts so (ANIL)"""

    def check_together(self) -> None:
        if not self.lr:
            raise ValueError("lr has no entry: give one step size, or one for each inner step")
        if self.learn_lr and len(self.lr) > 1:
            raise ValueError(f"lr has {len(self.lr)} entries, and learn_lr starts all parameters at one: give it")

    def loss(self, task: TaskConfig) -> Loss:
        """What the outer loop lowers."""
        return task.loss

    def build(self, task: TaskConfig, distribution: Distribution) -> GradientLearner:
        return GradientLearner(
            task.net(distribution), task.loss, steps=self.steps, lr=self.lr, first_order=self.first_order,
            learn_lr=self.learn_lr, adapt=self.adapt,
        )  # fmt: skip


def cavia(task: TaskConfig, distribution: Distribution, settings: dict[str, Any]) -> CAVIA:
    """The paper's context of 5 numbers for sinusoids, and of 100 for images, which modulate Conv4's third module."""
    if isinstance(task, SinusoidConfig):
        net = MLP(1 + 5, 1, hidden=task.hidden)
        return CAVIA(Concatenated(net), task.loss, context=5, **settings)
    assert isinstance(task, ImagesConfig)
    modulated = FiLM(conv4(task.net(distribution), "cavia"), context=100)
    return CAVIA(modulated, task.loss, context=100, **settings)


def imaml(task: TaskConfig, distribution: Distribution, settings: dict[str, Any]) -> IMAML:
    """With the λ of the paper's code, 2, for images. Sinusoids, whose losses are large, overfit their support with it.

    Their descent is cautious: with MAML's α of 0.01 it diverges after some 1,000 iterations.
    """
    waves = isinstance(task, SinusoidConfig)
    return IMAML(task.net(distribution), task.loss, strength=20.0 if waves else 2.0, cautious=waves, **settings)


def bayesian(task: TaskConfig, distribution: Distribution, settings: dict[str, Any]) -> GradientLearner:
    """MAML on a net that shows the features of its head, for the Laplace term."""
    assert isinstance(task, ImagesConfig)
    encoder = task.encoder(distribution)
    return GradientLearner(Headed(encoder, features=encoder.features, outputs=task.ways), task.loss, **settings)


def head(task: TaskConfig) -> str:
    """What a rule adapts that remembers much of each parameter: the head, where the net is large."""
    return "head" if isinstance(task, ImagesConfig) else ""


Build = Callable[[TaskConfig, Distribution, dict[str, Any]], Learner]  # settings are steps and lr
ADAPTED: Mapping[str, Build] = {
    "imaml": imaml,
    "cavia": cavia,
    "maml-plus-plus": lambda task, d, s: MAMLPlusPlus(task.net(d), task.loss, **s),
    "alpha-maml": lambda task, d, s: AlphaLearner(task.net(d), task.loss, **s),
    "bayesian-maml": bayesian,
    "meta-lstm": lambda task, d, s: MetaLSTM(task.net(d), task.loss, adapt=head(task), **s),
    "learned-optimizer": lambda task, d, s: LearnedOptimizer(
        task.net(d), task.loss, steps=s["steps"], scale=s["lr"], adapt=head(task)
    ),
    "adam": lambda task, d, s: Adam(task.net(d), task.loss, **s),
}


@dataclass(frozen=True)
class AdaptedConfig(Part, path="learner"):
    """A method of its own kind that makes gradient steps, in supervised tasks."""

    method: str = "imaml"
    steps: Steps = 5
    """inner steps in training"""
    lr: NonNegative = 0.1
    """what the method makes of it: its inner step size, or that at the start"""

    def loss(self, task: TaskConfig) -> Loss:
        """What the outer loop lowers."""
        return task.loss

    def check_together(self) -> None:
        if self.method not in ADAPTED:
            raise ValueError(f"method is {self.method!r}: {nearest(self.method, ADAPTED)}")

    def check(self, task: TaskConfig) -> None:
        """Raise ValueError where the method is not for `task`."""
        if not isinstance(task, SinusoidConfig | ImagesConfig):
            raise ValueError(f"learner.method is {self.method}, for supervised tasks: give it a sinusoid or image task")

    def build(self, task: TaskConfig, distribution: Distribution) -> Learner:
        return ADAPTED[self.method](task, distribution, {"steps": self.steps, "lr": self.lr})
