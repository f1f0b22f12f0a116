"""The interfaces of the three parts of an experiment's settings: task, learner and outer loop."""

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
from metarl.tasks.datasets.folder import Split
from metarl.train import MetaTraining

if TYPE_CHECKING:
    from metarl.experiments.config.run import Config

Given = Mapping[str, Callable[[], Any]]
"""Values for the arguments of constructors, by their names; each is a function that creates the value when needed."""


class TaskSettings(Part, path="task"):
    """The base of the settings of a distribution of tasks, which also provide the networks of learners."""

    loss: Loss
    """The loss of the inner loop, and of the outer loop if the learner has none of its own."""
    divergence: Divergence
    """The divergence between a learner's current and earlier outputs."""
    episodes: int = 0
    """The number of episodes per task in each batch in training; 0 for supervised tasks."""
    episode_steps: int = 0
    """The maximum number of steps of an episode; 0 for supervised tasks."""
    data: str | None = None
    """The folder of the data set; None for the default folder, or if the tasks need no data."""
    pretraining: int = 0
    """The number of iterations in which an encoder is pre-trained on all training classes at once."""

    @abstractmethod
    def distribution(self, device: torch.device, *, threads: int, split: Split) -> Distribution:
        """The distribution of tasks for training, for choosing a checkpoint ("validation") or for tests."""

    @abstractmethod
    def given(self, distribution: Distribution) -> Given:
        """Values for the arguments of learners' constructors, by their names: net, loss, ways, …"""

    def with_data(self, data: str | None) -> TaskSettings:
        """These settings with the data set in the folder `data`. Raises ValueError if the tasks need no data."""
        if data is not None:
            raise ValueError(f"data is {data}, but the tasks of this run need no data set: leave it out")
        return self

    def joint_training(self, *, images: int) -> TaskSettings:
        """Settings for pre-training an encoder on batches of `images` images of all classes, instead of few-shot tasks.

        Raises ValueError if the tasks have no images.
        """
        raise ValueError(f"{type(self).__name__} has no images on which an encoder could be pre-trained")

    def in_fraction(self, fraction: float) -> TaskSettings:
        """These settings for a run with only a fraction of the iterations."""
        return self

    def quick(self, config: Config) -> Config:
        """The settings `config` of a whole run, reduced to a size that takes minutes on 2 cores."""
        return replace(config, iterations=max(1, config.iterations // 4))


class LearnerSettings(Part, path="learner"):
    """The base of the settings of a learner."""

    steps: int
    """The number of inner steps in training."""

    @abstractmethod
    def build(self, task: TaskSettings, distribution: Distribution) -> Learner:
        """A learner with fresh weights for these tasks. Raises ValueError if it does not fit the tasks."""

    def requires(self, name: str) -> bool:
        """Whether the learner's constructor has the argument `name`, which a task provides."""
        return False


class OuterSettings(Part, path="algorithm"):
    """The base of the settings of an outer loop, or of another method that trains a learner."""

    uses_query: ClassVar[bool] = True
    """Whether an iteration collects a query batch in addition to the support batches."""
    fixed_length: ClassVar[bool] = False
    """Whether recipes use the preset's number of iterations instead of a common number of environment steps."""
    step_weights: tuple[float, ...] = ()
    """The weights of the losses after each inner step; an empty tuple for only the loss after the last step."""
    guided: ClassVar[bool] = False
    """Whether adapted policies imitate an expert in training."""
    expert: str = ""
    """The run folder of the expert."""

    def check(self, config: Config) -> None:
        if self.step_weights:
            try:
                check_steps(self.step_weights, config.learner)
            except ValueError as error:
                raise ValueError(f"{self.path}.{error}") from None

    def outer_loop(self, config: Config, learner: Learner) -> Algorithm:
        """The outer loop for `learner`. Raises ValueError for a training method that is not an outer loop."""
        raise ValueError(f"{type(self).__name__} is not an outer loop of a learner: train it by `metarl train`")

    def training(self, config: Config, learner: Learner, distribution: Distribution, device: torch.device) -> Training:
        """The training of `learner`. Raises ValueError if it does not fit the learner or the tasks."""
        return MetaTraining(
            self.outer_loop(config, learner), distribution, iterations=config.iterations,
            meta_batch=config.meta_batch, seed=config.seed,
        )  # fmt: skip

    def initial(self) -> Record:
        """The record of a new run, which includes the environment steps and the training time of its expert, if any."""
        return Record("")

    def tasks(self, config: Config) -> int:
        """The number of tasks per iteration, each with all its trajectories."""
        return config.meta_batch

    def env_steps(self, config: Config) -> int:
        """The number of environment steps per iteration if no episode ends early; 0 for supervised tasks."""
        batches = config.learner.steps + self.uses_query
        return config.meta_batch * config.task.episodes * config.task.episode_steps * batches

    def quick(self, config: Config) -> Config:
        """The settings `config` of a run in an environment, reduced to a size that takes minutes on 2 cores."""
        return replace(config, meta_batch=min(20, config.meta_batch), iterations=min(150, config.iterations))
