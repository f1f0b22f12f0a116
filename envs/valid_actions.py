"""Checks of the actions that a World receives."""

from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete, MultiDiscrete, Space


def valid_actions(space: Space[Any], actions: np.ndarray, alive: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Actions [N, …] in `space`, and which of those that were given are invalid, [N] bool.

    In a Box, all finite numbers are valid. In a Discrete, MultiDiscrete or MultiBinary space, integers from its `start`
    on are valid, and are converted to int64. Invalid actions are replaced by a default action, so that NaN does not
    propagate. They are not reported where alive [N] is False.
    """
    if isinstance(space, Box):
        default, valid = np.zeros(1), np.isfinite(actions)
    else:
        default = np.asarray(getattr(space, "start", 0))
        count = space.n if isinstance(space, Discrete) else space.nvec if isinstance(space, MultiDiscrete) else 2
        valid = (actions >= default) & (actions < default + count)
        if actions.dtype.kind == "f":
            valid &= actions == np.floor(actions)
    invalid = np.zeros(len(actions), bool)
    if not valid.all():
        invalid = ~valid.reshape(len(actions), -1).all(axis=1)
        actions = np.where(valid, actions, default)
        if alive is not None:
            invalid &= alive
    return (actions if isinstance(space, Box) else actions.astype(np.int64)), invalid


def centre_and_half_range(space: Box) -> tuple[np.ndarray, np.ndarray]:
    """The centre of a Box and half of its range: 0 and 1 for bounds of ±1."""
    return (space.low + space.high) / 2, (space.high - space.low) / 2
