"""Policy-gradient losses on rollouts, and the mean KL divergence of policies, for every action distribution."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from metarl.core import Loss, Predict
from metarl.ranges import Positive, checked
from metarl.rl.distributions import as_distribution


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
def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """The mean of `values` where `mask` is 1; 0 where it is nowhere."""
    return (values * mask).sum() / mask.sum().clamp(min=1)


@checked
def surrogate(predict: Predict, batch: Rollout) -> Tensor:
    """−mean ratio·advantage, ratio = exp(log π − log π_old).

    At π = π_old its gradient is the policy gradient and its Hessian the low-variance curvature estimate of ProMP
    (Rothfuss et al. 2019, eq. 9), which log π·advantage would get wrong.
    """
    ratio = _ratio(predict, batch)
    return -masked_mean(ratio * batch.advantages, batch.mask)


@checked
def clipped_surrogate(clip: Positive) -> Loss:
    """PPO's clipped surrogate (Schulman et al. 2017, eq. 7), negated: ratios are kept within 1 ± clip."""
    return partial(_clipped, clip=clip)


@checked
def _clipped(predict: Predict, batch: Rollout, *, clip: float) -> Tensor:
    ratio = _ratio(predict, batch)
    bounded = ratio.clamp(1 - clip, 1 + clip)
    return -masked_mean(torch.minimum(ratio * batch.advantages, bounded * batch.advantages), batch.mask)


@checked
def mean_kl(new: Any, old: Any, batch: Visited) -> Tensor:
    """Mean over the visited states of KL(old ‖ new), of two action distributions of one kind."""
    return masked_mean(as_distribution(new).kl(as_distribution(old)), batch.mask)


def _ratio(predict: Predict, batch: Rollout) -> Tensor:
    """π/π_old [T, H, N] of the actions that were taken."""
    log_probs = as_distribution(predict(batch.observations)).log_prob(batch.actions)
    return torch.exp(log_probs - batch.log_probs)
