"""Means and intervals."""

from __future__ import annotations

import math

import numpy as np


def mean_ci95(values: np.ndarray) -> tuple[float, float]:
    """The mean of `values` [n] and the half-width of its 95 % interval, 1.96·sd/√n (0 for a single value)."""
    n = len(values)
    return float(np.mean(values)), 1.96 * float(np.std(values, ddof=1)) / math.sqrt(n) if n > 1 else 0.0
