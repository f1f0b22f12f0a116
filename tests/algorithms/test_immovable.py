"""A trust region that cannot move says so: an error where the divergence bounds nothing, a warning where it fails."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from byhand import flat
from torch import Tensor
from toys import regressor, sample_episodes

from metarl.algorithms.trust_region import PATIENCE, TRPO
from metarl.core import Predict
from metarl.losses import mse, squared_change


def linear(new: Tensor, old: Tensor, batch: Any) -> Tensor:
    return (new - old).mean()


def backwards(new: Tensor, old: Tensor, batch: Any) -> Tensor:
    return -squared_change(new, old, batch)


def undefined(new: Tensor, old: Tensor, batch: Any) -> Tensor:
    return squared_change(new, old, batch) + (new - old).abs().sqrt().mean()


def nothing(new: Tensor, old: Tensor, batch: Any) -> Tensor:
    return torch.zeros(())


@pytest.mark.parametrize("divergence", [linear, backwards, undefined, nothing])
@pytest.mark.parametrize("damping", [0, 1e-5, 0.1])
@pytest.mark.parametrize("recompute", [False, True])
def test_a_divergence_without_curvature_is_named(divergence: Any, damping: float, recompute: bool) -> None:
    learner = regressor(lr=0.2)
    before = flat(list(learner.parameters()))
    algorithm = TRPO(learner, mse, divergence, damping=damping, recompute=recompute, chunk=2)
    message = f"the divergence {divergence.__name__} has the curvature (0|-|nan|inf).* log-probabilities in place of"
    with pytest.raises(FloatingPointError, match=message) as caught:
        algorithm.update(sample_episodes())
    assert "\n" not in str(caught.value)
    assert torch.equal(flat(list(learner.parameters())), before)


def test_no_gradient_moves_nothing_and_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def flat_loss(predict: Predict, batch: Any) -> Tensor:
        return 0 * mse(predict, batch)

    algorithm = TRPO(regressor(), flat_loss, linear)
    for _ in range(2 * PATIENCE):
        assert algorithm.update(sample_episodes())["step_size"] == 0
    assert not caplog.records


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_the_unit_of_the_loss_does_not_matter(scale: float) -> None:
    """A gradient below the tolerance of conjugate gradients is one all the same: 1e-6 once moved nothing."""

    def loss(predict: Predict, batch: Any) -> Tensor:
        return scale * mse(predict, batch)

    metrics = TRPO(regressor(lr=0.2), loss, squared_change, damping=0.1).update(sample_episodes())
    assert metrics["step_size"] > 0
    assert metrics["improvement"] > 0
    assert 0 < metrics["kl"] <= 0.01


def test_searches_that_fail_in_a_row_are_one_warning_with_remedies(caplog: pytest.LogCaptureFixture) -> None:
    found = [True]

    def worse(predict: Predict, batch: Any) -> Tensor:
        """A loss that is 1 higher wherever it is judged without gradients, unless a step is to be found."""
        loss = mse(predict, batch)
        return loss if torch.is_grad_enabled() or found[0] else loss + 1

    algorithm = TRPO(regressor(lr=0.2), worse, squared_change, damping=0.1)
    told = []
    for step in range(3 * PATIENCE):
        found[0] = step == PATIENCE + 1
        algorithm.update(sample_episodes())
        told.append(len(caplog.records))
    again = PATIENCE + 2 + PATIENCE  # updates until there were so many failures after the step that was found
    assert told == [int(n >= PATIENCE) + int(n >= again) for n in range(1, 3 * PATIENCE + 1)]
    message = caplog.records[0].getMessage()
    assert "last 5 line searches" in message
    assert all(remedy in message for remedy in ("smaller max_kl", "more backtracks", "more tasks", "larger damping"))
