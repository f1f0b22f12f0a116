"""Settings of Stable-Baselines3's PPO, which trains the MAML paper's baselines without adaptation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from metarl.experiments.config.parts import OuterSettings
from metarl.experiments.config.settings import MOST, Clip, Epochs, Width, check_hidden, check_lrs
from metarl.ranges import NonNegative, Positive, Range, UnitInterval

if TYPE_CHECKING:
    from metarl.experiments.pretraining import Pretraining


@dataclass(frozen=True)
class PPOSettings(OuterSettings):
    """No adaptation in training: Stable-Baselines3's PPO, a new task at every episode.

    An iteration is `meta_batch` sub-environments × one horizon, each from a new start, then the epochs.
    """

    lr: Positive = 3e-4
    """learning rate of Adam"""
    lr_end: NonNegative = 0.0
    """learning rate at the last iteration, to which it falls linearly"""
    epochs: Epochs = 10
    """passes over the samples of an iteration"""
    batch_size: Annotated[int, Range(2, MOST)] = 3200
    """samples a gradient step"""
    clip: Clip = 0.2
    """how far the ratio of probabilities may leave 1 before the surrogate is flat"""
    gae_lambda: UnitInterval = 0.95
    """λ of the advantage estimates"""
    entropy: NonNegative = 0.0
    """weight of the entropy bonus"""
    value_hidden: tuple[Width, ...] = (64, 64)
    """units of each hidden layer of the value net, which the policy shares nothing with"""
    max_gradient: Positive = 0.5
    """largest norm of the gradient, which is scaled down to it"""

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
    """Raise ValueError where the tasks of `config` are supervised."""
    if not config.task.episodes:
        raise ValueError(f"algorithm is {name}, which trains in environments: give a supervised task another one")
