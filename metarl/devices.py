"""Where tensors lie."""

from __future__ import annotations

import torch


def as_device(device: torch.device | str) -> torch.device:
    """`device`, where torch has it. Raises ValueError where not."""
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except Exception as error:  # torch raises RuntimeError, AssertionError or NotImplementedError, in many lines
        reason = str(error).splitlines()[0]
        raise ValueError(f"device is {str(device)!r}: give one that torch has here, as cpu ({reason})") from None
    return found
