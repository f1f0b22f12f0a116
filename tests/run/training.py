"""What tests of run folders train: a few sinusoids, or numbers that count."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from metarl.algorithms.descent import Descent
from metarl.learners.gradient import GradientLearner
from metarl.losses import mse
from metarl.nets.mlp import MLP
from metarl.objectives import final
from metarl.run.checkpoint import Record
from metarl.run.folder import RunFolder, versions
from metarl.run.loop import Schedule, run_training
from metarl.tasks.sinusoid import Sinusoid
from metarl.train import MetaTraining

STORED: dict[str, Any] = {"made_by": "tests", "preset": "test", "settings": {}, "versions": versions()}


def training(iterations: int = 10, *, hidden: int = 4) -> MetaTraining:
    torch.manual_seed(0)
    learner = GradientLearner(MLP(1, 1, hidden=(hidden,)), mse, steps=1, lr=0.01)
    outer = Descent(learner, final(mse), optimizer=lambda p: torch.optim.Adam(p, lr=1e-3))
    return MetaTraining(outer, Sinusoid(shots=5), iterations=iterations, meta_batch=2)


class Hooked(MetaTraining):
    """The same, calling `hook(finished iterations)` before each update."""

    def __init__(self, hook: Callable[[int], object], iterations: int = 10) -> None:
        self.__dict__ |= training(iterations).__dict__
        self.hook = hook

    def updates(self, start: int = 0) -> Iterator[dict[str, float]]:
        rows = super().updates(start)
        for done in range(start, self.iterations):
            self.hook(done)
            yield next(rows)


def run(path: Path, what: MetaTraining | None = None, **schedule: int) -> RunFolder:
    """Train in `path`, from the start or from where it stands."""
    what = what or training()
    folder = RunFolder.open(path) if (path / "config.json").exists() else RunFolder.create(path, STORED)
    with folder.locked():
        run_training(
            folder, what, Schedule(what.iterations, **{"checkpoint_every": 2, **schedule}),
            initial=Record(folder.config["run"]), metric="loss", resume_command="go on",
        )  # fmt: skip
    return folder


def result(path: Path) -> tuple[bytes, bytes]:
    """What a run that ended left: its last weights and its progress."""
    weights = RunFolder.open(path).newest() / "weights.safetensors"
    return weights.read_bytes(), (path / "progress.csv").read_bytes()
