"""Settings of sinusoid regression."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from metarl.core import Distribution
from metarl.experiments.config.parts import Given, TaskSettings
from metarl.experiments.config.settings import METHOD_SETTING, Number, Width, check_hidden
from metarl.losses import mse, squared_change
from metarl.nets.mlp import MLP
from metarl.tasks.datasets.folder import Split
from metarl.tasks.sinusoid import Sinusoid


@dataclass(frozen=True)
class SinusoidSettings(TaskSettings):
    """Regression of sinusoids with random amplitudes and phases (Finn et al. 2017, section 5.1)."""

    shots: Number = 5
    """number of support points per task, K"""
    train_shots: Number | None = field(default=None, metadata=METHOD_SETTING)
    """number of support points per task in training; None: `shots`"""
    queries: Number = 10
    """number of query points per task"""
    hidden: tuple[Width, ...] = field(default=(40, 40), metadata=METHOD_SETTING)
    """number of units of each hidden layer of the network"""

    loss = staticmethod(mse)
    divergence = staticmethod(squared_change)

    def check_together(self) -> None:
        check_hidden(self.hidden, "hidden")

    def distribution(self, device: torch.device, *, threads: int, split: Split) -> Sinusoid:
        shots = self.shots if split != "train" or self.train_shots is None else self.train_shots
        return Sinusoid(shots=shots, queries=self.queries, device=device)

    def given(self, distribution: Distribution) -> Given:
        return {"net": lambda: MLP(1, 1, hidden=self.hidden), "loss": lambda: mse, "widths": lambda: self.hidden}
