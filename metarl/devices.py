"""Devices of tensors, and the number of torch's threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

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


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread of the CPU, so that sums are rounded alike for any number of its threads."""
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        yield
    finally:
        torch.set_num_threads(threads)
