"""What the three parts of an experiment's settings offer: those of a task, of a learner and of an outer loop."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from metarl.algorithms.base import Algorithm, Divergence, check_steps
from metarl.core import Distribution, Learner, Loss
from metarl.experiments.config.settings import Part
from metarl.run.checkpoint import Record, Training
from metarl.tasks.folder import Split
from metarl.train import MetaTraining

if TYPE_CHECKING:
    from metarl.experiments.config.run import Config

Given = Mapping[str, Callable[[], Any]]
"""Values by the names of constructor arguments, each a function that makes it when it is asked for."""


class TaskSettings(Part, path="task"):
    """Settings of a distribution of tasks, and of what a learner for them is made of."""

    loss: Loss
    """what the inner loop lowers, and the outer loop unless the learner has a loss of its own"""
    divergence: Divergence
    """how far a learner's outputs are from its earlier ones"""
    episodes: int = 0
    """episodes a task for each batch in training; 0: the tasks are supervised"""
    episode_steps: int = 0
    """steps an episode; 0: the tasks are supervised"""
    data: str | None = None
    """the folder of the data set; None: where it usually lies, or the tasks need none"""
    pretraining: int = 0
    """iterations in which an encoder learns all training classes at once before the few-shot tasks"""

    @abstractmethod
    def distribution(self, device: torch.device, *, threads: int, split: Split) -> Distribution:
        """The tasks to train on, to choose a checkpoint by ("validation"), or to test on."""

    @abstractmethod
    def given(self, distribution: Distribution) -> Given:
        """What the constructors of learners may ask for by the names of their arguments: net, loss, ways, …"""

    def with_data(self, data: str | None) -> TaskSettings:
        """The same with the data set in the folder `data`. Raises ValueError where the tasks need none."""
        if data is not None:
            raise ValueError(f"data is {data}: the tasks of this run need no data set, leave it out")
        return self

    def joint_training(self, *, images: int) -> TaskSettings:
        """The same images without few-shot tasks: batches of so many `images` of all classes, to pre-train an encoder.

        Raises ValueError where the tasks have no images.
        """
        raise ValueError(f"{type(self).__name__} has no images that an encoder could be pre-trained on")

    def in_fraction(self, fraction: float) -> TaskSettings:
        """The same for a run that has only this fraction of the iterations."""
        return self

    def quick(self, config: Config) -> Config:
        """The run `config` with these tasks, at a size that ends within minutes on 2 cores."""
        return replace(config, iterations=max(1, config.iterations // 4))


class LearnerSettings(Part, path="learner"):
    """Settings of a learner."""

    steps: int
    """inner steps in training"""

    @abstractmethod
    def build(self, task: TaskSettings, distribution: Distribution) -> Learner:
        """A learner with fresh weights for these tasks. Raises ValueError where it does not fit them."""

    def asks_for(self, name: str) -> bool:
        """Whether the learner is made of what a task gives by this name."""
        return False


class OuterSettings(Part, path="algorithm"):
    """Settings of an outer loop, or of another way to train a learner."""

    uses_query: ClassVar[bool] = True
    """whether an iteration collects a query batch beside the support batches"""
    fixed_length: ClassVar[bool] = False
    """whether recipes train for the preset's own iterations, whatever environment steps other methods may take"""
    step_weights: tuple[float, ...] = ()
    """weights of the losses after each inner step; none: only the last counts"""
    guided: ClassVar[bool] = False
    """whether training imitates an expert"""
    expert: str = ""
    """the run folder of that expert"""

    def check(self, config: Config) -> None:
        if self.step_weights:
            try:
                check_steps(self.step_weights, config.learner)
            except ValueError as error:
                raise ValueError(f"{self.path}.{error}") from None

    def outer_loop(self, config: Config, learner: Learner) -> Algorithm:
        """The outer loop over `learner`. Raises ValueError for a way to train that has none."""
        raise ValueError(f"{type(self).__name__} is no outer loop over a learner: `metarl train` trains it")

    def training(self, config: Config, learner: Learner, distribution: Distribution, device: torch.device) -> Training:
        """What trains `learner`. Raises ValueError where it does not go with the learner or the tasks."""
        return MetaTraining(
            self.outer_loop(config, learner), distribution, iterations=config.iterations,
            meta_batch=config.meta_batch, seed=config.seed,
        )  # fmt: skip

    def initial(self) -> Record:
        """What is behind a run that begins: nothing, or the training of the expert that it imitates."""
        return Record("")

    def tasks(self, config: Config) -> int:
        """Tasks an iteration, each with all its trajectories."""
        return config.meta_batch

    def env_steps(self, config: Config) -> int:
        """Environment steps an iteration takes where no episode ends early; 0 for supervised tasks."""
        batches = config.learner.steps + self.uses_query
        return config.meta_batch * config.task.episodes * config.task.episode_steps * batches

    def quick(self, config: Config) -> Config:
        """The run `config` in an environment, at a size that ends within minutes on 2 cores."""
        return replace(config, meta_batch=20, iterations=120)
