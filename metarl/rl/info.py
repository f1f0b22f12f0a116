"""What is measured beside the return: quantities of an environment's info, or a World's parts, over episodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from metarl.distributed import gather
from metarl.ranges import shown

REDUCTIONS = ("mean", "max")


def reductions(info: Sequence[str] | Mapping[str, str]) -> dict[str, str]:
    """How each name of `info` is taken over an episode's steps: "mean", where nothing else is said, or "max"."""
    named = (
        dict(info) if isinstance(info, Mapping) else dict.fromkeys([info] if isinstance(info, str) else info, "mean")
    )
    for name, how in named.items():
        if not isinstance(name, str) or how not in REDUCTIONS:
            raise ValueError(f"info[{shown(name)}] is {shown(how)}: give one of {', '.join(REDUCTIONS)}")
    return named


def reduced(info: Mapping[str, str], values: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """Each name's mean over the episodes of a task, [T], from values [T, H, N, K] and mask [T, H, N].

    Steps after an episode's end do not count, nor do those where a value is NaN: it was not there. A task in which no
    step has it gets NaN; ValueError where no task has.
    """
    found = {}
    for (name, how), at_steps in zip(info.items(), values.unbind(-1), strict=True):
        there = mask.bool() & ~at_steps.isnan()
        if not any(gather(bool(there.any()))):
            raise ValueError(f"no step's info has {name!r}: leave it out of info, or correct the name")
        if how == "mean":
            episodes = torch.where(there, at_steps, 0.0).sum(1) / there.sum(1)  # 0 / 0 is NaN
        else:
            episodes = torch.where(there, at_steps, -torch.inf).amax(1)
            episodes = torch.where(there.any(1), episodes, torch.nan)
        found[name] = episodes.nanmean(-1)
    return found
