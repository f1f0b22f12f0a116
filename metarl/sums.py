"""Weighted sums of scalar losses, and sums over the parts of a meta-batch, of all processes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from metarl.distributed import add_in_order, joined, of_all_tasks
from metarl.ranges import shown


def one_number(value: Any, what: str) -> Tensor:
    """Return `value` if it is a scalar tensor; raise ValueError otherwise, naming `what` as the function it is from."""
    if not isinstance(value, Tensor) or value.dim():
        raise ValueError(f"{what} returned {shown(value)}: return a scalar tensor, such as a mean")
    return value


def check_weights(weights: Sequence[float], name: str = "weights") -> None:
    """Raise ValueError unless at least one of `weights`, an argument called `name`, is above 0."""
    if not any(weights):
        raise ValueError(f"{name} is {shown(weights)}: give at least one number above 0")


def weighted(terms: Sequence[Tensor], weights: Sequence[float], what: str) -> Tensor:
    """Σ_k weights[k]·terms[k]; error messages name `what` as the function that returned the terms."""
    return torch.stack([w * one_number(term, what) for w, term in zip(weights, terms, strict=True)]).sum()


def sum_gradients(parts: Iterable[Sequence[Tensor | None]], parameters: Sequence[Tensor]) -> list[Tensor]:
    """The sum over `parts` of a meta-batch of the gradient of each of `parameters`, where None stands for zeros."""
    gradients = [torch.zeros_like(parameter) for parameter in parameters]

    def add() -> None:
        for part in parts:
            for total, gradient in zip(gradients, part, strict=True):
                if gradient is not None:
                    total.add_(gradient)

    add_in_order(gradients, add)
    return gradients


def sum_tensors(parts: Sequence[Tensor]) -> Tensor:
    """The sum of tensors of one shape, one for each part of a meta-batch, of all processes."""
    return of_all_tasks(torch.stack(list(parts))).sum(0)


def sum_numbers(parts: Sequence[float]) -> float:
    """The sum of numbers, one for each part of a meta-batch."""
    return sum(joined(parts))
