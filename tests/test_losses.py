"""Losses of supervised tasks, on numbers worked by hand."""

import math

import pytest
import torch

from metarl.losses import Samples, cross_entropy, mse, squared_change


def test_mse_is_the_mean_over_points_and_outputs() -> None:
    batch = Samples(torch.tensor([[1.0], [2.0]]), torch.tensor([[0.0, 1.0], [2.0, 5.0]]))
    assert mse(lambda x: x * torch.ones(1, 2), batch).item() == (1 + 0 + 0 + 9) / 4


def test_cross_entropy_is_the_mean_of_minus_log_probabilities() -> None:
    logits = torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]).log() + 3
    batch = Samples(logits, torch.tensor([1, 2]))
    expected = -(math.log(0.25) + math.log(0.8)) / 2
    assert cross_entropy(lambda x: x, batch).item() == pytest.approx(expected, rel=1e-6)


def test_squared_change_is_the_kl_of_unit_gaussians() -> None:
    batch = Samples(torch.zeros(3, 1), torch.zeros(3, 1))
    new, old = torch.tensor([[1.0], [2.0], [4.0]]).double(), torch.tensor([[1.0], [0.0], [1.0]]).double()
    normal = torch.distributions.Normal
    kl = torch.distributions.kl_divergence(normal(old, 1.0), normal(new, 1.0)).mean()
    found = squared_change(new, old, batch).item()
    assert found == pytest.approx(0.5 * (0 + 4 + 9) / 3, rel=1e-14)
    assert found == pytest.approx(kl.item(), rel=1e-14)
