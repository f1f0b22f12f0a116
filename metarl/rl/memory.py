"""Memory for rollouts, which is reused when its tensors have been deleted, and copied to a GPU if there is one."""

from __future__ import annotations

import threading
import weakref

import numpy as np
import torch
from torch import Tensor

from metarl.ranges import Count, Whole, checked

BLOCKS = 8  # number of parts of a rollout that are copied to the GPU while the next part is simulated


class Memory:
    """A pool of arrays, each of which can be taken again when its last tensor has been deleted."""

    def __init__(self) -> None:
        self._free: dict[tuple[tuple[int, ...], bool], list[np.ndarray]] = {}

    @checked
    def take(self, shape: tuple[Whole, ...], *, pinned: bool = False) -> np.ndarray:
        """An uninitialised float32 array, which returns to the pool when it and all its tensors have been deleted.

        Keep the array itself or a tensor of it (`torch.from_numpy`), because NumPy's views do not keep it from
        returning to the pool.
        """
        free = self._free.setdefault((shape, pinned), [])
        base = free.pop() if free else _allocate(shape, pinned)
        array = base[...]
        weakref.finalize(array, free.append, base).atexit = False
        return array


def _allocate(shape: tuple[int, ...], pinned: bool) -> np.ndarray:
    return torch.empty(shape, pin_memory=True).numpy() if pinned else np.empty(shape, np.float32)


class Recorder:
    """Float32 arrays [T, H, N, …] in which time steps are recorded, and their tensors on `device`.

    On the CPU, the tensors share the memory of the arrays. For a GPU (`staged`), the memory is pinned and has the order
    [H, T, N, …], so that each complete block of steps is copied at once while the simulation continues. Several threads
    may write, each for different tasks.
    """

    @checked
    def __init__(
        self,
        memory: Memory,
        tasks: Count,
        horizon: Count,
        envs: Count,
        *,
        device: torch.device,
        staged: bool,
        writers: Count = 1,
    ) -> None:
        self.memory, self.shape, self.device, self.staged = memory, (tasks, horizon, envs), device, staged
        self.block = -(-horizon // BLOCKS)
        self._written, self._sent, self._lock = [0] * writers, 0, threading.Lock()
        self._pairs: list[tuple[Tensor, Tensor]] = []  # the recorded tensor and the one on the device (same on the CPU)

    def field(self, *feature: int) -> np.ndarray:
        """A new array [T, H, N, *feature], which must not be used after the tensors have been deleted."""
        tasks, horizon, envs = self.shape
        if not self.staged:
            array = self.memory.take((tasks, horizon, envs, *feature))
            tensor = torch.from_numpy(array)
            self._pairs.append((tensor, tensor))
            return array
        array = self.memory.take((horizon, tasks, envs, *feature), pinned=self.device.type == "cuda")
        self._pairs.append((torch.from_numpy(array), torch.empty(array.shape, device=self.device)))
        return array.swapaxes(0, 1)

    def written(self, steps: int, writer: int = 0) -> None:
        """Report that this writer has completed the first `steps` time steps of all fields."""
        if not self.staged:
            return
        with self._lock:
            self._written[writer] = steps
            complete = min(self._written)
            if complete - self._sent >= self.block or complete == self.shape[1] > self._sent:
                for source, target in self._pairs:
                    target[self._sent : complete].copy_(source[self._sent : complete], non_blocking=True)
                self._sent = complete

    def tensors(self) -> list[Tensor]:
        """The tensors [T, H, N, …] on the device, in the order of the calls of `field`."""
        if not self.staged:
            return [target for _, target in self._pairs]
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)  # before the pinned memory is reused
        return [target.transpose(0, 1).contiguous() for _, target in self._pairs]
