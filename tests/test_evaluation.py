"""Evaluation: scores after each number of inner steps, of the same tasks, and intervals around their means."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from byhand import adapted, mlp, squared_error
from toys import Waves, WaveTasks, regressor

from metarl.evaluation import evaluate
from metarl.losses import Samples
from metarl.statistics import mean_ci95


@pytest.mark.parametrize("chunk", [None, 2])
def test_scores_are_those_of_the_inner_loop_by_hand(chunk: int | None) -> None:
    learner = regressor(steps=1, lr=0.2).float()
    scores = evaluate(learner, Waves(), steps=3, num_tasks=5, rng=np.random.default_rng(0), chunk=chunk)
    assert scores.shape == (4, 5)
    assert scores.dtype == np.float64
    tasks = Waves().sample(5, np.random.default_rng(0))
    for t in range(5):
        support = [Samples(tasks.x[t, :10], tasks.y[t, :10])] * 3
        for k, state in enumerate(adapted(dict(learner.net.named_parameters()), support, squared_error, lr=0.2)):
            error = (mlp(state, tasks.x[t, 20:]) - tasks.y[t, 20:]).square().mean()
            assert scores[k, t] == pytest.approx(error.item(), rel=1e-4)
    assert len(np.unique(scores)) == 20


def test_only_the_steps_asked_for_are_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    learner = regressor(steps=1, lr=0.2).float()
    all_of_them = evaluate(learner, Waves(), steps=3, num_tasks=5, rng=np.random.default_rng(0))
    scored, score = [], WaveTasks.score
    monkeypatch.setattr(WaveTasks, "score", lambda tasks, predict: scored.append(predict) or score(tasks, predict))
    some = evaluate(learner, Waves(), steps=3, num_tasks=5, rng=np.random.default_rng(0), at=(3, 0))
    assert np.array_equal(some, all_of_them[[0, 3]])
    assert len(scored) == 2


def test_evaluation_leaves_the_learner_alone() -> None:
    learner = regressor().float()
    before = [p.detach().clone() for p in learner.parameters()]
    evaluate(learner, Waves(), steps=2, num_tasks=3, rng=np.random.default_rng(0))
    assert all(torch.equal(p, q) and p.grad is None for p, q in zip(learner.parameters(), before, strict=True))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": -1}, "steps is -1"),
        ({"num_tasks": 0}, "num_tasks is 0"),
        ({"at": (0, 2)}, r"at is \(0, 2\): give numbers of steps from 0 to 1"),
        ({"at": ()}, r"at is \(\): give numbers of steps from 0 to 1"),
    ],
)
def test_bad_counts_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate(regressor(), Waves(), rng=np.random.default_rng(0), **{"steps": 1, "num_tasks": 2, **settings})
    assert evaluate(regressor().float(), Waves(), steps=0, num_tasks=1, rng=np.random.default_rng(0)).shape == (1, 1)


def test_interval_worked_by_hand() -> None:
    mean, half = mean_ci95(np.array([1.0, 2.0, 3.0, 6.0]))
    assert mean == 3.0
    assert half == pytest.approx(1.96 * math.sqrt((4 + 1 + 0 + 9) / 3) / 2)
    assert mean_ci95(np.array([5.0])) == (5.0, 0.0)
