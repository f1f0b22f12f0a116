"""Settings of PPO, with which metarl.experiments.pretraining trains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn


@dataclass(frozen=True)
class PPOConfig:
    """No adaptation in training: Stable-Baselines3's PPO, a new task at every episode.

    An iteration is `meta_batch` sub-environments × one horizon, each from a new start, then the epochs.
    """

    rate: float = 3e-4
    """step size of Adam"""
    rate_end: float = 0.0
    """what it falls to, linearly over the run"""
    epochs: int = 10
    batch_size: int = 3200
    """samples a gradient step"""
    clip: float = 0.2
    gae_lambda: float = 0.95
    entropy: float = 0.0
    """weight of the entropy bonus"""
    value_hidden: tuple[int, ...] = (64, 64)
    """of the value net, which the policy shares nothing with"""
    max_gradient: float = 0.5
    """the gradient's norm is cut to it"""

    def __post_init__(self) -> None:
        if self.rate <= 0 or not 0 <= self.rate_end <= self.rate:
            raise ValueError(f"rate is {self.rate} and rate_end {self.rate_end}: give rate > 0 and 0 ≤ rate_end ≤ rate")
        for name, least in (("epochs", 1), ("batch_size", 2)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}: give at least {least}")
        for name in ("clip", "max_gradient"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}: give a positive number")
        if not 0 <= self.gae_lambda <= 1:
            raise ValueError(f"gae_lambda is {self.gae_lambda}: give a number from 0 to 1")

    def build(self, learner: Any, task: Any, loss: Any, *, iterations: int, chunk: int | None) -> NoReturn:
        raise ValueError("PPO is no outer loop over a learner: `metarl train` or pretraining.Pretraining trains it")
