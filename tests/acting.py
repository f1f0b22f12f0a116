"""Random actions for any World."""

from typing import Any

import numpy as np
from gymnasium.spaces import Box


def random_actions(space: Any, n: int, rng: np.random.Generator, *, bound: float = 1.0) -> np.ndarray:
    """Actions [n, act] within ±bound, or choices [n] of a Discrete space."""
    if isinstance(space, Box):
        return rng.uniform(-bound, bound, (n, *space.shape))
    return rng.integers(space.n, size=n)
