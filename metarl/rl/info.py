"""Quantities that are reported in addition to returns: entries of an environment's info, reduced over episodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from metarl.distributed import gather
from metarl.ranges import shown

REDUCTIONS = ("mean", "max")


def reductions(info: Sequence[str] | Mapping[str, str]) -> dict[str, str]:
    """The reduction over the steps of an episode, "mean" (the default) or "max", for each key in `info`."""
    named = (
        dict(info) if isinstance(info, Mapping) else dict.fromkeys([info] if isinstance(info, str) else info, "mean")
    )
    for name, how in named.items():
        if not isinstance(name, str) or how not in REDUCTIONS:
            raise ValueError(f"info[{shown(name)}] is {shown(how)}: give one of {', '.join(REDUCTIONS)}")
    return named


def reduced(info: Mapping[str, str], values: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """Reduce values [T, H, N, K] of K keys over steps and average them over episodes: [T] for each key.

    Steps after the end of an episode (where `mask` [T, H, N] is 0) and NaN, which stands for a missing value, are left
    out. The result is NaN for a task without values. Raises ValueError if no task has a value.
    """
    results = {}
    for (name, how), at_steps in zip(info.items(), values.unbind(-1), strict=True):
        present = mask.bool() & ~at_steps.isnan()
        if not any(gather(bool(present.any()))):
            raise ValueError(f"{name!r} is in the info of no step: leave it out of info, or correct the name")
        if how == "mean":
            episodes = torch.where(present, at_steps, 0.0).sum(1) / present.sum(1)  # 0 / 0 is NaN
        else:
            episodes = torch.where(present, at_steps, -torch.inf).amax(1)
            episodes = torch.where(present.any(1), episodes, torch.nan)
        results[name] = episodes.nanmean(-1)
    return results
