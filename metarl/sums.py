"""Weighted sums of losses, each of which must be one number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from metarl.ranges import shown


def one_number(value: Any, what: str) -> Tensor:
    """`value`, which `what` returned. Raises ValueError unless it is a tensor with a single number and no axis."""
    if not isinstance(value, Tensor) or value.dim():
        raise ValueError(f"{what} returned {shown(value)}: return one number, a tensor without axes, such as a mean")
    return value


def check_weights(weights: Sequence[float], name: str = "weights") -> None:
    """Raise ValueError unless one at least of `weights`, an argument called `name`, is above 0."""
    if not any(weights):
        raise ValueError(f"{name} is {shown(weights)}: give one at least that is above 0")


def weighted(terms: Sequence[Tensor], weights: Sequence[float], what: str) -> Tensor:
    """Σ_k weights[k]·terms[k], where `what` returned the terms."""
    return torch.stack([w * one_number(term, what) for w, term in zip(weights, terms, strict=True)]).sum()
