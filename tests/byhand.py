"""The mathematics a second time, by hand: loops over tasks, plain autograd, finite differences, torch.distributions.

Nothing here uses metarl's learners, losses or torch.func; tests compare the library with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence

Params = dict[str, Tensor]
HandLoss = Callable[[Params, Any], Tensor]


def mlp(params: Params, x: Tensor, prefix: str = "") -> Tensor:
    """A tanh network with one hidden layer."""
    hidden = torch.tanh(x @ params[f"{prefix}layers.0.weight"].T + params[f"{prefix}layers.0.bias"])
    return hidden @ params[f"{prefix}layers.1.weight"].T + params[f"{prefix}layers.1.bias"]


def squared_error(params: Params, batch: Any) -> Tensor:
    return ((mlp(params, batch.x) - batch.y) ** 2).mean()


def policy(params: Params, observations: Tensor) -> Normal:
    return Normal(mlp(params, observations, "mean."), params["log_std"].exp())


def ratio_loss(params: Params, batch: Any) -> Tensor:
    new = policy(params, batch.observations).log_prob(batch.actions).sum(-1)
    valid = batch.mask.bool()
    return -((new - batch.log_probs).exp() * batch.advantages)[valid].mean()


def mean_kl(params: Params, old: Params, batch: Any) -> Tensor:
    """KL(old ‖ new) on the batch's observations; nothing flows back into `old`."""
    fixed = policy({name: value.detach() for name, value in old.items()}, batch.observations)
    return kl_divergence(fixed, policy(params, batch.observations)).sum(-1)[batch.mask.bool()].mean()


def adapted(
    params: Mapping[str, Tensor],
    support: Sequence[Any],
    loss: HandLoss,
    *,
    lr: float | Params,
    first_order: bool = False,
    adapt: str = "",
) -> list[Params]:
    """One task's parameters before and after each inner step, still attached to `params`."""
    states = [dict(params)]
    names = [name for name in params if name.startswith(adapt)]
    for batch in support:
        now = states[-1]
        gradients = torch.autograd.grad(loss(now, batch), [now[name] for name in names], create_graph=True)
        moved = dict(now)
        for name, gradient in zip(names, gradients, strict=True):
            alpha = lr[name] if isinstance(lr, dict) else lr
            moved[name] = now[name] - alpha * (gradient.detach() if first_order else gradient)
        states.append(moved)
    return states


def task(tree: Any, index: int) -> Any:
    """One task's part of a tree of [T, …]."""
    if isinstance(tree, Tensor):
        return tree[index]
    parts = [task(part, index) for part in tree]
    return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)


def finite_differences(function: Callable[[], float], parameters: Sequence[Tensor], *, h: float = 1e-5) -> Tensor:
    """The flat gradient of `function` by every entry of `parameters` (changed in place, and put back)."""
    slopes = []
    for parameter in parameters:
        flat = parameter.detach().view(-1)
        for i in range(len(flat)):
            centre = float(flat[i])
            flat[i] = centre + h
            above = function()
            flat[i] = centre - h
            below = function()
            flat[i] = centre
            slopes.append((above - below) / (2 * h))
    return torch.tensor(slopes, dtype=parameters[0].dtype)


def slope_along(
    function: Callable[[], float], parameters: Sequence[Tensor], direction: Sequence[Tensor], *, h: float
) -> float:
    """The derivative of `function` where all `parameters` move along `direction`, by central differences."""
    start, along = [p.detach().clone() for p in parameters], torch.zeros(1, dtype=torch.float64)

    def moved() -> float:
        with torch.no_grad():
            for p, origin, change in zip(parameters, start, direction, strict=True):
                p.copy_(origin + float(along) * change)
            return function()

    return float(finite_differences(moved, [along], h=h))


def relative_error(value: Tensor, truth: Tensor) -> float:
    assert truth.norm() > 1e-3, "the truth is about zero: the comparison would say nothing"
    return float((value - truth).norm() / truth.norm())


def flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([t.detach().flatten() for t in tensors])
