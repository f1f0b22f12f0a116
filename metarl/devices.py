"""Devices of tensors."""

from __future__ import annotations

import torch


def as_device(device: torch.device | str) -> torch.device:
    """`device` as a torch.device. Raises ValueError if torch cannot use it on this machine."""
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except Exception as error:  # torch raises RuntimeError, AssertionError or NotImplementedError, in many lines
        reason = str(error).splitlines()[0]
        raise ValueError(f"device is {str(device)!r}: give one that torch can use, such as cpu ({reason})") from None
    return found
