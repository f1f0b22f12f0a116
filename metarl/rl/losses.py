"""Policy-gradient losses on rollouts, and the mean KL divergence of policies, for all action distributions."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from metarl.core import Loss, Predict
from metarl.ranges import Positive, checked
from metarl.rl.distributions import as_distribution


class Rollout(NamedTuple):
    """Trajectories of T tasks, with N episodes of H steps each; without the axis T for one task.

    If an episode ends early, `mask` is 0 for the remaining steps, which are ignored.
    """

    observations: Tensor  # [T, H, N, obs]
    actions: Tensor  # [T, H, N, act], as the policy sampled them, without clipping
    log_probs: Tensor  # [T, H, N], log-probabilities of the actions under the policy that sampled them
    advantages: Tensor  # [T, H, N]
    rewards: Tensor  # [T, H, N]
    mask: Tensor  # [T, H, N], 1 or 0


class Visited(Protocol):
    """A batch of states with a mask of the valid ones."""

    @property
    def mask(self) -> Tensor: ...


@checked
def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """The mean of `values` over the entries where `mask` is 1, or 0 if there are none."""
    return (values * mask).sum() / mask.sum().clamp(min=1)


@checked
def surrogate(predict: Predict, batch: Rollout) -> Tensor:
    """The policy-gradient loss −mean(ratio·advantage), with the probability ratio exp(log π − log π_old).

    At π = π_old, its gradient is the policy gradient, and its Hessian is the low-variance curvature estimate of ProMP
    (Rothfuss et al. 2019, eq. 9). The Hessian of log π·advantage would be a wrong estimate.
    """
    ratio = _ratio(predict, batch)
    return -masked_mean(ratio * batch.advantages, batch.mask)


@checked
def clipped_surrogate(clip: Positive) -> Loss:
    """The negative clipped surrogate of PPO (Schulman et al. 2017, eq. 7), with ratios in [1 − clip, 1 + clip]."""
    return partial(_clipped, clip=clip)


@checked
def _clipped(predict: Predict, batch: Rollout, *, clip: float) -> Tensor:
    ratio = _ratio(predict, batch)
    bounded = ratio.clamp(1 - clip, 1 + clip)
    return -masked_mean(torch.minimum(ratio * batch.advantages, bounded * batch.advantages), batch.mask)


@checked
def mean_kl(new: Any, old: Any, batch: Visited) -> Tensor:
    """The mean of KL(old ‖ new) over the visited states, for two action distributions of the same type."""
    return masked_mean(as_distribution(new).kl(as_distribution(old)), batch.mask)


def _ratio(predict: Predict, batch: Rollout) -> Tensor:
    """The probability ratios π/π_old [T, H, N] of the recorded actions."""
    log_probs = as_distribution(predict(batch.observations)).log_prob(batch.actions)
    return torch.exp(log_probs - batch.log_probs)
