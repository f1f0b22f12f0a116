"""Settings of PPO from Stable-Baselines3, which trains the MAML paper's baselines without adaptation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from metarl.experiments.config.parts import OuterSettings
from metarl.experiments.config.settings import MAX_NUMBER, Clip, Epochs, Width, check_hidden, check_lrs
from metarl.ranges import NonNegative, Positive, Range, UnitInterval

if TYPE_CHECKING:
    from metarl.experiments.pretraining import Pretraining


@dataclass(frozen=True)
class PPOSettings(OuterSettings):
    """PPO from Stable-Baselines3 without adaptation: one policy, and a new task in each episode.

    In an iteration, `meta_batch` sub-environments are reset and run for one horizon; then the policy is updated.
    """

    lr: Positive = 3e-4
    """learning rate of Adam at the start of training"""
    lr_end: NonNegative = 0.0
    """learning rate at the end of training; it decreases linearly"""
    epochs: Epochs = 10
    """number of passes over the samples of an iteration"""
    batch_size: Annotated[int, Range(2, MAX_NUMBER)] = 3200
    """number of samples in a minibatch"""
    clip: Clip = 0.2
    """clipping range ε of the probability ratio, which is clipped to [1 − ε, 1 + ε]"""
    gae_lambda: UnitInterval = 0.95
    """λ of generalised advantage estimation"""
    entropy: NonNegative = 0.0
    """weight of the entropy bonus"""
    value_hidden: tuple[Width, ...] = (64, 64)
    """number of units of each hidden layer of the value network, which shares no layers with the policy"""
    max_gradient: Positive = 0.5
    """maximum norm of the gradient, to which larger gradients are scaled"""

    fixed_length = True

    def check_together(self) -> None:
        check_lrs(self.lr, self.lr_end)
        check_hidden(self.value_hidden, "value_hidden")

    def check(self, config: Any) -> None:
        check_environment(config, "PPO")

    def training(self, config: Any, learner: Any, distribution: Any, device: Any) -> Pretraining:
        from metarl.experiments.pretraining import Pretraining  # Stable-Baselines3 is slow to import

        return Pretraining(
            self, learner, distribution, iterations=config.iterations, meta_batch=config.meta_batch, seed=config.seed,
            device=device,
        )  # fmt: skip

    def tasks(self, config: Any) -> int:
        return int(-(-config.meta_batch // config.task.episodes))

    def env_steps(self, config: Any) -> int:
        return int(config.meta_batch * config.task.episode_steps)

    def quick(self, config: Any) -> Any:
        return config


def check_environment(config: Any, name: str) -> None:
    """Raise ValueError if the tasks of `config` are supervised."""
    if not config.task.episodes:
        raise ValueError(f"algorithm is {name}, which trains in environments: use another one for supervised tasks")
