"""Generalised advantage estimation with a linear baseline that is fitted for each task."""

from __future__ import annotations

import torch
from torch import Tensor

from metarl.ranges import Positive, UnitInterval, checked


@checked
def discounted_sum(values: Tensor, factor: float) -> Tensor:
    """The discounted sums Σ_l factor^l·values[t + l] along axis 1: [T, H, N] to [T, H, N]."""
    if values.ndim < 2:
        raise ValueError(f"values have shape {tuple(values.shape)}: give [T, H, N]")
    out = values.clone()
    for t in range(values.shape[1] - 2, -1, -1):
        out[:, t] += factor * out[:, t + 1]
    return out


@checked
def features(observations: Tensor) -> Tensor:
    """The features of the linear baseline, [T, H, N, 2·obs + 4], for observations [T, H, N, obs].

    They are [o, o², t/100, (t/100)², (t/100)³, 1] with o clipped to ±10, as in rllab's LinearFeatureBaseline (Duan et
    al. 2016, appendix), which the MAML paper uses.
    """
    if observations.ndim != 4:
        raise ValueError(f"observations have shape {tuple(observations.shape)}: give [T, H, N, obs]")
    clipped = observations.clamp(-10, 10)
    time = torch.arange(observations.shape[1], device=observations.device, dtype=observations.dtype) / 100
    powers = torch.stack([time, time**2, time**3, torch.ones_like(time)], -1)
    return torch.cat([clipped, clipped.square(), powers[:, None].expand(*observations.shape[:-1], 4)], -1)


@checked
def linear_baseline(observations: Tensor, returns: Tensor, mask: Tensor, *, ridge: Positive = 1e-5) -> Tensor:
    """Values [T, H, N] of a linear regression, in float64, that is fitted to the `returns` of each task.

    Tasks are processed one at a time, because a batch of their float64 features (81 MB for ten ants with 20
    trajectories of 200 steps) does not fit into caches; it would take 2.3 times as long, with the same result.
    """
    _check_shapes(observations, returns, mask)
    values = torch.empty_like(returns)
    for task_observations, targets, valid, out in zip(observations, returns, mask.bool(), values, strict=True):
        inputs = features(task_observations[None])[0]  # [H, N, F]
        fitted = inputs[valid].double()
        gram = fitted.mT @ fitted
        gram.diagonal().add_(ridge)
        weights = torch.linalg.solve(gram, fitted.mT @ targets[valid].double())
        out.copy_(inputs.double() @ weights)
    return values


@checked
def gae(rewards: Tensor, values: Tensor, mask: Tensor, *, discount: UnitInterval, gae_lambda: UnitInterval) -> Tensor:
    """Generalised advantage estimates [T, H, N] (Schulman et al. 2016, eq. 16).

    The value after the last step is 0, as after a termination, because episodes have H steps by definition and the
    baseline depends on the time. Thus, there is no bootstrapping at the horizon.
    """
    _check_shapes(rewards[..., None], values, mask)
    following = torch.zeros_like(values)
    following[:, :-1] = values[:, 1:] * mask[:, 1:]
    return discounted_sum((rewards + discount * following - values) * mask, discount * gae_lambda)


@checked
def advantages(
    observations: Tensor,
    rewards: Tensor,
    mask: Tensor,
    *,
    discount: UnitInterval = 0.99,
    gae_lambda: UnitInterval = 1.0,
) -> Tensor:
    """Advantages [T, H, N], normalised to mean 0 and variance 1 over the valid steps of each task, as in rllab."""
    _check_shapes(observations, rewards, mask)
    returns = discounted_sum(rewards * mask, discount)
    values = linear_baseline(observations, returns, mask)
    raw = gae(rewards, values, mask, discount=discount, gae_lambda=gae_lambda)
    count = mask.sum((1, 2), keepdim=True).clamp(min=1)
    centred = (raw - (raw * mask).sum((1, 2), keepdim=True) / count) * mask
    std = (centred.square().sum((1, 2), keepdim=True) / count).sqrt()
    out = centred / (std + 1e-8)
    if not out.isfinite().all():
        raise ValueError("advantages are not finite: look for NaN and huge numbers in rewards and observations")
    return out


def _check_shapes(observations: Tensor, values: Tensor, mask: Tensor) -> None:
    """Raise ValueError unless the shapes are [T, H, N, obs], [T, H, N] and [T, H, N] with equal sizes."""
    shapes = [tuple(tensor.shape) for tensor in (observations, values, mask)]
    if len(shapes[1]) != 3 or not shapes[0][:-1] == shapes[1] == shapes[2]:
        found = ", ".join(map(str, shapes))
        raise ValueError(
            f"observations, values and mask have shapes {found}: give [T, H, N, obs], [T, H, N], [T, H, N]"
        )
