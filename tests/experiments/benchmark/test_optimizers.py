"""The comparison of optimisers: the same start for all, losses of each net apart, a rule that training improves."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from metarl.experiments.benchmark import optimizers
from metarl.experiments.benchmark.__main__ import main
from metarl.experiments.benchmark.optimizers import (
    OPTIMIZERS,
    TEST_PROBLEMS,
    TRAINING_PROBLEMS,
    Fit,
    by_rule,
    by_torch,
    clusters,
    learn,
    spirals,
    waves,
)
from metarl.learners.mlp_optimizer import StepRule
from metarl.losses import cross_entropy, mse


def fit(index: int = 0) -> Fit:
    torch.manual_seed(0)
    return Fit(TRAINING_PROBLEMS[index], 3, np.random.default_rng(0))


def test_an_untrained_rule_is_adam() -> None:
    rule = StepRule(lr=0.01)
    found = by_rule(fit(), rule, at=[1, 5])
    assert found == pytest.approx(by_torch(fit(), OPTIMIZERS["Adam"], 0.01, at=[1, 5]), rel=1e-4)


def test_each_net_has_its_own_loss_and_gradient() -> None:
    for index, loss in ((0, mse), (1, cross_entropy)):
        one = fit(index)
        batch = one.sample(7)
        torch.manual_seed(0)
        nets = [TRAINING_PROBLEMS[index].net() for _ in range(3)]
        alone = [loss(net, type(batch)(batch.x[i], batch.y[i])) for i, net in enumerate(nets)]
        torch.testing.assert_close(one.losses(one.parameters, batch), torch.stack(alone))


def test_functions_are_drawn_once_and_points_each_time() -> None:
    rng = np.random.default_rng(0)
    new = waves(2, rng)
    x, y = new(500)
    again, _ = new(500)
    assert not torch.equal(x, again)
    order = x[0, :, 0].argsort()
    assert float((y[0, order[1:], 0] - y[0, order[:-1], 0]).abs().max()) < 0.5  # both are points of one wave
    for draw in (clusters, spirals):
        x, y = draw(2, rng)(300)
        assert x.shape == (2, 300, 2)
        assert torch.bincount(y.flatten(), minlength=3).min() > 100


def test_training_improves_the_rule() -> None:
    torch.manual_seed(0)
    rule = StepRule(lr=0.001)
    before = by_rule(fit(), rule, at=[15])[0]
    learn(rule, iterations=12, unroll=5, most=20, tasks=3, rng=np.random.default_rng(0))
    assert by_rule(fit(), rule, at=[15])[0] < before


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "result.json"
    monkeypatch.setattr(optimizers, "LOG_LRS", {"Adam": [-2.0], "SGD with momentum": [-2.0, -1.0]})
    main(f"optimizers --iterations 2 --unroll 2 --tasks 2 --steps 10 --json {file}".split())
    reports = json.loads(file.read_text())["reports"]
    assert [report["title"] for report in reports] == list(TEST_PROBLEMS)
    assert [report["steps"] for report in reports] == [[1, 10]] * 3
    assert list(reports[0]["losses"]) == ["learned", "Adam, tuned", "SGD with momentum, tuned"]
    assert "spirals, 3 layers of 48 units" in capsys.readouterr().out
