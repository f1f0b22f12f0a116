"""The supervised benchmark, at sizes that take seconds: it compares equal things, and says so when they are not."""

from __future__ import annotations

import sys
from functools import partial

import pytest
import torch

from metarl.experiments.benchmark import supervised
from metarl.experiments.benchmark.supervised import check, images, measure, sinusoids, training

SINUSOIDS = partial(sinusoids, tasks=3, steps=2, k=3)
IMAGES = partial(images, tasks=2, steps=1, ways=2, queries=2, filters=2)
MAKE = pytest.mark.parametrize("make", [SINUSOIDS, IMAGES], ids=["sinusoids", "images"])


@pytest.fixture(autouse=True)
def _no_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where no other library is installed, whatever is here."""
    for name in ("higher", "torchopt", "learn2learn"):
        monkeypatch.setitem(sys.modules, name, None)


@MAKE
def test_candidates_agree_and_the_first_is_compared_with_all_others(
    make: partial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervised, "faster", lambda call, most: 1)
    torch.set_num_threads(2)
    report = measure("a test", make, repeats=1)
    first, *others = [row.name for row in report.rows]
    assert first in ("metarl", "metarl, 4 tasks at a time")
    assert others[-1] == "plain loop"
    assert list(report.ratios) == [(first, other) for other in others]
    assert all(row.work == len(make().episodes.query.x) for row in report.rows)
    assert report.notes[-1] == "not installed, so not measured: higher, torchopt, learn2learn, jax"
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)


@MAKE
def test_candidates_that_disagree_are_not_timed(make: partial) -> None:
    check(make())
    problem = make()
    with torch.no_grad():
        next(iter(next(iter(problem.ours.values()))[0].parameters())).mul_(1.001)
    with pytest.raises(RuntimeError, match=r"^metarl.* and the plain loop have different meta-gradients"):
        check(problem)


def test_the_gradient_checked_is_of_every_inner_step_and_second_order(monkeypatch: pytest.MonkeyPatch) -> None:
    first_order = partial(supervised.GradientLearner, first_order=True)
    monkeypatch.setattr(supervised, "GradientLearner", first_order)
    with pytest.raises(RuntimeError, match=r"different meta-gradients"):
        check(SINUSOIDS())


def test_samplings_share_of_training_is_said() -> None:
    report = training(repeats=2, classes=6, filters=2)
    sampling, update = report.rows
    assert (sampling.name, update.name, sampling.work) == ("sampling", "update", 8)
    share = sampling.timing.median / (sampling.timing.median + update.timing.median)
    assert report.notes == [f"sampling: {share:.1%} of an iteration"]
