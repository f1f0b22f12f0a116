"""Policy-gradient losses and the mean KL against torch.distributions and worked numbers."""

import numpy as np
import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence
from toys import policy_learner, random_rollout

from metarl.rl.distributions import Gaussian
from metarl.rl.losses import Rollout, clipped_surrogate, masked_mean, mean_kl, surrogate

BATCH = Rollout(*(leaf[0] for leaf in random_rollout(1, np.random.default_rng(0))))


def gaussian(seed: int, *, log_std_shape: tuple[int, ...] = (2,)) -> Gaussian:
    rng = np.random.default_rng(seed)
    return Gaussian(*(torch.from_numpy(rng.normal(size=shape)) for shape in ((6, 4, 2), log_std_shape)))


def distribution(policy: Gaussian) -> Independent:
    mean, log_std = policy
    return Independent(Normal(mean, log_std.exp().expand_as(mean)), 1)


@pytest.mark.parametrize("log_std_shape", [(2,), (6, 4, 2)])
def test_log_prob_is_of_the_joint_action(log_std_shape: tuple[int, ...]) -> None:
    policy = gaussian(1, log_std_shape=log_std_shape)
    found = policy.log_prob(BATCH.actions)
    assert found.shape == (6, 4)
    torch.testing.assert_close(found, distribution(policy).log_prob(BATCH.actions), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("log_std_shape", [(2,), (6, 4, 2)])
def test_kl_is_of_old_from_new_on_valid_states(log_std_shape: tuple[int, ...]) -> None:
    new, old = (gaussian(seed, log_std_shape=log_std_shape) for seed in (1, 2))
    exact = kl_divergence(distribution(old), distribution(new))[BATCH.mask.bool()].mean()
    torch.testing.assert_close(mean_kl(new, old, BATCH), exact, rtol=1e-12, atol=0)
    assert abs(float(mean_kl(old, new, BATCH) - exact)) > 0.01
    assert float(mean_kl(new, new, BATCH)) == pytest.approx(0, abs=1e-15)


def test_masked_mean_divides_by_what_is_valid() -> None:
    assert masked_mean(torch.tensor([1.0, 2.0, 100.0]), torch.tensor([1.0, 1.0, 0.0])).item() == 1.5


def test_surrogate_is_the_weighted_ratio() -> None:
    policy = gaussian(3)
    log_probs = distribution(policy).log_prob(BATCH.actions)
    valid = BATCH.mask.bool()
    expected = -((log_probs - BATCH.log_probs).exp() * BATCH.advantages)[valid].mean()
    torch.testing.assert_close(surrogate(lambda x: policy, BATCH), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("loss", [surrogate, clipped_surrogate(0.2)], ids=["surrogate", "clipped"])
def test_gradient_at_the_old_policy_is_reinforce(loss: object) -> None:
    net = policy_learner().net
    leaves = list(net.parameters())
    log_probs = distribution(net(BATCH.observations)).log_prob(BATCH.actions)
    reinforce = torch.autograd.grad(-(log_probs * BATCH.advantages)[BATCH.mask.bool()].mean(), leaves)
    found = torch.autograd.grad(
        loss(net, BATCH._replace(log_probs=net(BATCH.observations).log_prob(BATCH.actions).detach())),  # type: ignore[operator]
        leaves,
    )
    for one, other in zip(found, reinforce, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)
        assert one.abs().max() > 1e-3


@pytest.mark.parametrize(
    ("ratio", "advantage", "value", "slope"),
    [
        (1.5, 1.0, 1.2, 0.0),  # already raised enough
        (1.5, -1.0, -1.5, -1.0),  # raised, but wrongly: goes back
        (0.5, -1.0, -0.8, 0.0),  # already lowered enough
        (0.5, 1.0, 0.5, 1.0),
        (1.1, 2.0, 2.2, 2.0),  # within 1 ± ε
        (0.9, -2.0, -1.8, -2.0),
    ],
)
def test_clip_stops_the_gradient_outside(ratio: float, advantage: float, value: float, slope: float) -> None:
    """One action at the mean of a unit Gaussian, with an old log-density that makes `ratio`; slope: by the log-std."""
    log_std = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    mean, one = torch.zeros(1, 1, 1, dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64)
    old = Gaussian(mean, log_std.detach()).log_prob(mean) - np.log(ratio)
    batch = Rollout(mean, mean, old, advantage * one, one, one)
    loss = clipped_surrogate(0.2)(lambda x: Gaussian(mean, log_std), batch)
    assert -loss.item() == pytest.approx(value, rel=1e-12)
    (gradient,) = torch.autograd.grad(loss, log_std)
    assert gradient.item() == pytest.approx(ratio * slope, rel=1e-12)  # −d ratio/d log_std = ratio


@pytest.mark.parametrize("loss", [surrogate, clipped_surrogate(0.2)], ids=["surrogate", "clipped"])
def test_nothing_after_the_end_counts(loss: object) -> None:
    ended = BATCH.mask == 0
    assert ended.any()
    changed = BATCH._replace(
        actions=BATCH.actions.masked_fill(ended[..., None], 2.0), advantages=BATCH.advantages.masked_fill(ended, 9.0)
    )
    policy = gaussian(4)
    assert loss(lambda x: policy, changed) == loss(lambda x: policy, BATCH)  # type: ignore[operator]
