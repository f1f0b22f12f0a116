"""Settings of PPO, with which metarl.experiments.pretraining trains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, NoReturn

from metarl.experiments.settings import MOST, Clip, Epochs, Part, Width, check_hidden, check_lrs
from metarl.ranges import NonNegative, Positive, Range, Share


@dataclass(frozen=True)
class PPOConfig(Part, path="algorithm"):
    """No adaptation in training: Stable-Baselines3's PPO, a new task at every episode.

    An iteration is `meta_batch` sub-environments × one horizon, each from a new start, then the epochs.
    """

    lr: Positive = 3e-4
    """step size of Adam"""
    lr_end: NonNegative = 0.0
    """what it falls to, linearly over the run"""
    epochs: Epochs = 10
    batch_size: Annotated[int, Range(2, MOST)] = 3200
    """samples a gradient step"""
    clip: Clip = 0.2
    gae_lambda: Share = 0.95
    entropy: NonNegative = 0.0
    """weight of the entropy bonus"""
    value_hidden: tuple[Width, ...] = (64, 64)
    """of the value net, which the policy shares nothing with"""
    max_gradient: Positive = 0.5
    """the gradient's norm is cut to it"""

    def check_together(self) -> None:
        check_lrs(self.lr, self.lr_end)
        check_hidden(self.value_hidden, "value_hidden")

    def build(self, learner: Any, task: Any, loss: Any, *, iterations: int, chunk: int | None) -> NoReturn:
        raise ValueError("PPO is no outer loop over a learner: `metarl train` or pretraining.Pretraining trains it")
