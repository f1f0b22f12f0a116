"""Discounted sums, the linear baseline, advantages: numbers worked by hand and the ridge closed form in NumPy."""

import numpy as np
import pytest
import torch
from torch import Tensor
from toys import random_rollout

from metarl.rl.advantages import advantages, discounted_sum, features, gae, linear_baseline


def column(*values: float) -> Tensor:
    """[1, H, 1]."""
    return torch.tensor(values, dtype=torch.float64)[None, :, None]


def test_discounted_sum_runs_along_time_only() -> None:
    assert discounted_sum(column(1, 2, 3), 0.5).flatten().tolist() == [2.75, 3.5, 3.0]
    values = torch.arange(12.0).view(2, 3, 2)
    kept = values.clone()
    out = discounted_sum(values, 0.5)
    assert torch.equal(values, kept)
    assert out[1, :, 1].tolist() == [7 + 0.5 * 9 + 0.25 * 11, 9 + 0.5 * 11, 11.0]
    assert discounted_sum(values, 0.0).equal(values)


def test_gae_worked_by_hand() -> None:
    rewards, values, whole = column(1, 2, 3), column(0.5, 1, 1.5), column(1, 1, 1)
    # δ = (1 + ½·1 − ½, 2 + ½·1½ − 1, 3 − 1½) = (1, 1.75, 1.5); γλ = ¼
    found = gae(rewards, values, whole, discount=0.5, gae_lambda=0.5)
    assert found.flatten().tolist() == [1.53125, 2.125, 1.5]
    # the episode ends with the second step: δ₁ = 2 − 1, and the third step does not exist
    found = gae(rewards, values, column(1, 1, 0), discount=0.5, gae_lambda=0.5)
    assert found.flatten().tolist() == [1.25, 1.0, 0.0]
    # λ = 1 is return − value; λ = 0 is the temporal difference
    assert gae(rewards, values, whole, discount=0.5, gae_lambda=1.0).flatten().tolist() == [2.25, 2.5, 1.5]
    assert gae(rewards, values, whole, discount=0.5, gae_lambda=0.0).flatten().tolist() == [1.0, 1.75, 1.5]


def test_features_are_rllabs() -> None:
    observations = torch.tensor([20.0, -3.0], dtype=torch.float64).expand(1, 3, 1, 2)
    assert features(observations)[0, 2, 0].tolist() == pytest.approx([10, -3, 100, 9, 0.02, 0.0004, 0.000008, 1])
    assert features(observations).shape == (1, 3, 1, 8)


@pytest.mark.parametrize("ridge", [1e-5, 1.0])
def test_baseline_is_the_ridge_regression_of_each_task_on_its_valid_steps(ridge: float) -> None:
    batch = random_rollout(3, np.random.default_rng(0), horizon=8, envs=10)
    returns = batch.rewards + 7
    returns[batch.mask == 0] = 1e4  # nobody may look there
    values = linear_baseline(batch.observations, returns, batch.mask, ridge=ridge)
    for t in range(3):
        valid = batch.mask[t].numpy().astype(bool)
        inputs, targets = features(batch.observations)[t].numpy(), returns[t].numpy()
        x, y = inputs[valid], targets[valid]
        size = x.shape[1]
        augmented = np.vstack([x, np.sqrt(ridge) * np.eye(size)])  # min |x·w − y|² + ridge·|w|²
        weights = np.linalg.lstsq(augmented, np.concatenate([y, np.zeros(size)]), rcond=None)[0]
        np.testing.assert_allclose(values[t].numpy()[valid], (inputs @ weights)[valid], rtol=1e-6, atol=1e-6)
        assert np.abs(x @ weights - y).max() > 0.1


def test_baseline_fits_what_is_linear_in_its_features() -> None:
    observations = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 10, 20, 2)))
    weights = torch.linspace(-2, 2, 8, dtype=torch.float64)
    returns = features(observations) @ weights * torch.tensor([1.0, -3.0])[:, None, None]
    whole = torch.ones(2, 10, 20)
    values = linear_baseline(observations, returns, whole, ridge=1e-12)
    torch.testing.assert_close(values, returns, rtol=1e-6, atol=1e-6)
    single = linear_baseline(observations.float(), returns.float(), whole)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), returns, rtol=0, atol=1e-3)


def test_advantages_are_normalised_over_each_tasks_valid_steps() -> None:
    batch = random_rollout(3, np.random.default_rng(1), horizon=8, envs=10)
    scaled = batch.rewards * torch.tensor([1.0, 10.0, 0.1], dtype=torch.float64)[:, None, None]
    found = advantages(batch.observations, scaled, batch.mask, discount=0.9, gae_lambda=0.8)
    valid = batch.mask.bool()
    assert not found[~valid].any()
    for t in range(3):
        assert float(found[t][valid[t]].mean()) == pytest.approx(0, abs=1e-12)
        assert float(found[t][valid[t]].std(correction=0)) == pytest.approx(1, abs=1e-6)
    values = linear_baseline(batch.observations, discounted_sum(scaled, 0.9), batch.mask)
    raw = gae(scaled, values, batch.mask, discount=0.9, gae_lambda=0.8)
    for t in range(3):
        expected = raw[t][valid[t]]
        expected = (expected - expected.mean()) / expected.std(correction=0)
        torch.testing.assert_close(found[t][valid[t]], expected, rtol=1e-5, atol=1e-6)


def test_nothing_after_the_end_counts() -> None:
    batch = random_rollout(2, np.random.default_rng(2), horizon=8, envs=10)
    ended = batch.mask == 0
    assert ended.any()
    rewards, observations = batch.rewards.clone(), batch.observations.clone()
    rewards[ended], observations[ended] = 1e3, -5.0
    found = advantages(observations, rewards, batch.mask)
    torch.testing.assert_close(found, advantages(batch.observations, batch.rewards, batch.mask), rtol=1e-9, atol=1e-9)
