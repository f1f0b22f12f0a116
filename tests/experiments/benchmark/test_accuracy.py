"""The accuracy benchmark: both libraries train the same net from the same weights on the same tasks."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from metarl.experiments import runner
from metarl.experiments.benchmark import accuracy
from metarl.experiments.benchmark.accuracy import Accuracy, adapted, by_prototypes
from metarl.experiments.config import images
from metarl.experiments.config.run import Config
from metarl.experiments.presets import preset
from metarl.tasks.images import ImageClasses


class Clone(nn.Module):
    """What learn2learn's MAML makes of a module: a clone whose `adapt` is differentiable."""

    def __init__(self, module: nn.Module, *, lr: float, first_order: bool) -> None:
        super().__init__()
        assert not first_order
        self.module, self.lr, self.fast = module, lr, dict(module.named_parameters())

    def clone(self) -> Clone:
        return self

    def adapt(self, loss: Tensor) -> None:
        gradients = torch.autograd.grad(loss, list(self.fast.values()), create_graph=True)
        self.fast = {name: p - self.lr * g for (name, p), g in zip(self.fast.items(), gradients, strict=True)}

    def forward(self, x: Tensor) -> Tensor:
        return functional_call(self.module, self.fast, (x,))


class Prototypes:
    """learn2learn's PrototypicalClassifier."""

    def __init__(self, support: Tensor, labels: Tensor) -> None:
        self.means = torch.stack([support[labels == label].mean(0) for label in labels.unique()])

    def __call__(self, x: Tensor) -> Tensor:
        return -torch.cdist(x, self.means, compute_mode="donot_use_mm_for_euclid_dist").square()


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """In place of learn2learn, whose wheel does not build everywhere: what is used of it, by its definition."""
    module: Any = ModuleType("learn2learn")
    module.algorithms, module.nn = ModuleType("learn2learn.algorithms"), ModuleType("learn2learn.nn")
    module.algorithms.MAML, module.nn.PrototypicalClassifier = Clone, Prototypes
    monkeypatch.setitem(sys.modules, "learn2learn", module)
    monkeypatch.setitem(sys.modules, "learn2learn.nn", module.nn)
    return module


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Noisy patterns in place of Omniglot, and nets of few filters."""

    def fake(data: Path | None, split: str, *, protocol: str) -> ImageClasses:
        rng = np.random.default_rng(len(split))
        patterns = 200 * (rng.random((24, 1, 1, 28, 28)) < 0.3)
        images = (patterns + rng.integers(0, 55, (24, 20, 1, 28, 28))).astype(np.uint8)
        return ImageClasses(torch.from_numpy(images).flatten(0, 1), tuple(map(str, range(24))), np.full(24, 20))

    def small(name: str) -> Config:
        config = preset(name)
        return replace(config, task=replace(config.task, filters=4, pretraining=2), meta_batch=2)  # type: ignore[type-var]

    monkeypatch.setattr(images, "omniglot", fake)
    monkeypatch.setattr(accuracy, "preset", small)


@pytest.mark.parametrize(("method", "classify"), [("maml", adapted), ("protonet", by_prototypes)])
def test_the_plain_loop_trains_to_the_same_weights(method: str, classify: Any, library: ModuleType) -> None:
    config = replace(accuracy.preset(f"omniglot-small-5way-1shot-{method}"), iterations=3)
    learning = config.distribution(torch.device("cpu"))
    learner = runner.new_learner(config, learning, torch.device("cpu"))
    net: Any = learner.net if method == "maml" else learner.encoder
    theirs = runner.new_learner(config, learning, torch.device("cpu"))
    config.outer_loop(theirs)  # in whose hands a frozen head begins at 0
    module: Any = theirs.net if method == "maml" else theirs.encoder
    for _ in accuracy.train(
        config.outer_loop(learner), learning, iterations=3, meta_batch=config.meta_batch, seed=config.seed
    ):
        pass
    start = [p.detach().clone() for p in module.parameters()]
    accuracy.descend(module, classify(library, config), learning, config)
    lr = config.algorithm.lr  # type: ignore[union-attr]
    for before, (name, one), other in zip(start, module.named_parameters(), net.parameters(), strict=True):
        if name.startswith("head"):
            assert torch.equal(one, before)  # fixed
            assert torch.equal(other, before)
            continue
        assert (other - before).abs().max() > lr / 2  # it did train
        # Adam's first steps divide a gradient by its own size, so rounding shows where it is near 0
        assert (one - other).abs().median() < lr / 20


def test_both_are_tested_alike_and_a_missing_library_is_said(
    library: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    maml, protonet = Accuracy(iterations=1, tasks=20).run()
    for report in (maml, protonet):
        ours, theirs = report.rows
        assert (ours.name, theirs.name) == ("metarl", "learn2learn")
        assert ours.steps == theirs.steps
        assert ours.mean > 0.3  # patterns are told apart even by random features; chance is 0.2
        assert abs(ours.mean - theirs.mean) < 0.01  # one step from the same weights, the same test tasks
        assert report.as_json()["rows"][0]["mean"] == ours.mean
    assert (maml.rows[0].steps, protonet.rows[0].steps) == (3, 1)
    monkeypatch.setitem(sys.modules, "learn2learn", None)
    alone, _ = Accuracy(iterations=1, tasks=5).run()
    assert [row.name for row in alone.rows] == ["metarl"]
    assert "not installed" in alone.title
    alone.show()


def test_lines_of_the_table_show_the_number(capsys: pytest.CaptureFixture[str]) -> None:
    accuracy.Scores("a test", [accuracy.Score("metarl", 3, 0.8125, 0.01, 12.4)]).show()
    shown = capsys.readouterr().out
    assert "81.2%" in shown
    assert "± 1.0%" in shown
