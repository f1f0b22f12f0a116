"""Flattening of observations by Gymnasium's rules, with checks that they are in their space."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Space, Tuple, flatdim, flatten

from metarl.ranges import shown


class Misfit(ValueError):
    """An error for an observation, number `index` of several, that is not in its space."""

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(reason)
        self.index = index


def flattener(space: Space[Any]) -> Callable[[Sequence[Any]], np.ndarray]:
    """A function that maps n observations in `space` to an array [n, size].

    Rows are the results of `gymnasium.spaces.flatten`: values of a Discrete or MultiDiscrete space are one-hot, and the
    parts of a Dict (in its order) or a Tuple are concatenated. The function raises `Misfit` for observations that are
    not in the space, except for numbers outside the bounds of a Box. Raises ValueError for other types of spaces.
    """
    wrong = _unsupported(space)
    if wrong is not None:
        raise ValueError(
            f"observations are in {shown(wrong)}: give a Box, Discrete, MultiDiscrete, MultiBinary, Dict or Tuple space"
        )
    if isinstance(space, Box):
        return lambda seen: _rows(space, seen)

    def flattened(seen: Sequence[Any]) -> np.ndarray:
        rows = np.empty((len(seen), flatdim(space)))
        for i, value in enumerate(seen):
            if (reason := misfit(space, value)) is not None:
                raise Misfit(i, reason)
            rows[i] = np.asarray(flatten(space, value))
        return rows

    return flattened


def misfit(space: Space[Any], value: Any) -> str | None:
    """Why `value` is not in `space`, as the end of a sentence "the observation is …"; None if it is."""
    if isinstance(space, Dict):
        if not isinstance(value, dict) or value.keys() != space.spaces.keys():
            keys = sorted(value) if isinstance(value, dict) else shown(value)
            return f"{keys}: give a dict of {sorted(space.spaces)}"
        parts = [(f"at {key!r} ", part, value[key]) for key, part in space.spaces.items()]
    elif isinstance(space, Tuple):
        if not isinstance(value, tuple | list) or len(value) != len(space.spaces):
            return f"{shown(value)}: give a tuple of {len(space.spaces)}"
        parts = [(f"at {i} ", *pair) for i, pair in enumerate(zip(space.spaces, value, strict=True))]
    elif isinstance(space, Box):
        return None if _is_box(space, value) else f"{shown(value)}: give numbers of shape {space.shape}"
    else:
        return None if space.contains(value) else f"{shown(value)}: give an element of {space}"
    reasons = ((where, misfit(part, inner)) for where, part, inner in parts)
    return next((where + reason for where, reason in reasons if reason is not None), None)


def _rows(space: Box, seen: Sequence[Any]) -> np.ndarray:
    try:
        values = np.array(seen)
    except ValueError:  # of unequal shapes
        values = np.array(None)
    if values.shape != (len(seen), *space.shape) or values.dtype.kind not in "fiub":
        index = next(i for i, value in enumerate(seen) if not _is_box(space, value))
        raise Misfit(index, str(misfit(space, seen[index])))
    return values.reshape(len(seen), -1)


def _is_box(space: Box, value: Any) -> bool:
    try:
        array = np.asarray(value)
    except ValueError:
        return False
    return array.shape == space.shape and array.dtype.kind in "fiub"


def _unsupported(space: Any) -> Any:
    """The first part of `space` whose type is not supported, or None."""
    if isinstance(space, Dict | Tuple):
        parts = space.spaces.values() if isinstance(space, Dict) else space.spaces
        return next((wrong for wrong in map(_unsupported, parts) if wrong is not None), None)
    return None if isinstance(space, Box | Discrete | MultiDiscrete | MultiBinary) else space
