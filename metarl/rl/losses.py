"""Policy-gradient losses on rollouts, and the KL divergence of Gaussian policies."""

from __future__ import annotations

import math
from functools import partial
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from metarl.core import Loss, Predict
from metarl.ranges import Positive, checked

Gaussian = tuple[Tensor, Tensor]  # mean [..., act], log_std broadcastable to it


class Rollout(NamedTuple):
    """Trajectories of T tasks, H steps and N environments, one episode each; without T for one task.

    After an episode has ended early, `mask` is 0 and nothing of the step counts.
    """

    observations: Tensor  # [T, H, N, obs]
    actions: Tensor  # [T, H, N, act], as the policy drew them: not clipped
    log_probs: Tensor  # [T, H, N], of the actions when drawn, summed over action dimensions
    advantages: Tensor  # [T, H, N]
    rewards: Tensor  # [T, H, N]
    mask: Tensor  # [T, H, N], 1 or 0


class Visited(Protocol):
    """A batch of states, some of which count."""

    @property
    def mask(self) -> Tensor: ...


@checked
def log_prob(policy: Gaussian, actions: Tensor) -> Tensor:
    """Log-density [...] of joint actions [..., act]: summed, not averaged, over action dimensions."""
    mean, log_std = policy
    if mean.shape != actions.shape:
        raise ValueError(f"means have shape {tuple(mean.shape)}, actions {tuple(actions.shape)}: give the same")
    noise = (actions - mean) * torch.exp(-log_std)
    return -0.5 * noise.square().sum(-1) - (log_std + 0.5 * math.log(2 * math.pi)).expand_as(mean).sum(-1)


@checked
def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """The mean of `values` where `mask` is 1; 0 where it is nowhere."""
    return (values * mask).sum() / mask.sum().clamp(min=1)


@checked
def surrogate(predict: Predict, batch: Rollout) -> Tensor:
    """−mean ratio·advantage, ratio = exp(log π − log π_old).

    At π = π_old its gradient is the policy gradient and its Hessian the low-variance curvature estimate of ProMP
    (Rothfuss et al. 2019, eq. 9), which log π·advantage would get wrong.
    """
    ratio = torch.exp(log_prob(predict(batch.observations), batch.actions) - batch.log_probs)
    return -masked_mean(ratio * batch.advantages, batch.mask)


@checked
def clipped_surrogate(clip: Positive) -> Loss:
    """PPO's clipped surrogate (Schulman et al. 2017, eq. 7), negated: ratios are kept within 1 ± clip."""
    return partial(_clipped, clip=clip)


@checked
def _clipped(predict: Predict, batch: Rollout, *, clip: float) -> Tensor:
    ratio = torch.exp(log_prob(predict(batch.observations), batch.actions) - batch.log_probs)
    bounded = ratio.clamp(1 - clip, 1 + clip)
    return -masked_mean(torch.minimum(ratio * batch.advantages, bounded * batch.advantages), batch.mask)


@checked
def gaussian_kl(new: Gaussian, old: Gaussian, batch: Visited) -> Tensor:
    """Mean over the visited states of KL(old ‖ new), summed over action dimensions."""
    (mean, log_std), (old_mean, old_log_std) = new, old
    variance, old_variance = torch.exp(2 * log_std), torch.exp(2 * old_log_std)
    kl = log_std - old_log_std + (old_variance + (old_mean - mean).square()) / (2 * variance) - 0.5
    return masked_mean(kl.sum(-1), batch.mask)
