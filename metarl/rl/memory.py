"""Memory of rollouts: allocated once, reused as soon as nobody holds what lies in it, copied to a GPU meanwhile."""

from __future__ import annotations

import threading
import weakref

import numpy as np
import torch
from torch import Tensor

from metarl.ranges import Count, Whole, checked

BLOCKS = 8  # parts of a rollout that go to the device while the next is simulated


class Memory:
    """Arrays that are given out again when the last tensor on them has gone."""

    def __init__(self) -> None:
        self._free: dict[tuple[tuple[int, ...], bool], list[np.ndarray]] = {}

    @checked
    def take(self, shape: tuple[Whole, ...], *, pinned: bool = False) -> np.ndarray:
        """A float32 array of any content; it is taken back when it and all tensors made from it have gone.

        Keep a tensor of it (`torch.from_numpy`), or the array itself: NumPy's own views of it do not hold it.
        """
        free = self._free.setdefault((shape, pinned), [])
        base = free.pop() if free else _allocate(shape, pinned)
        lent = base[...]
        weakref.finalize(lent, free.append, base).atexit = False
        return lent


def _allocate(shape: tuple[int, ...], pinned: bool) -> np.ndarray:
    return torch.empty(shape, pin_memory=True).numpy() if pinned else np.empty(shape, np.float32)


class Recorder:
    """Float32 fields [T, H, N, …] written a time step at a time, and the tensors on `device` that they become.

    On the CPU the tensors are the memory written to. For a GPU the memory is pinned and ordered [H, T, N, …], so that
    each finished block of steps is one copy, which runs while the simulator goes on (`staged`). Several threads may
    write, each its own tasks.
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
        self._pairs: list[tuple[Tensor, Tensor]] = []  # what is written, and where it goes: the same on the CPU

    def field(self, *feature: int) -> np.ndarray:
        """A new field [T, H, N, *feature] to write to; do not keep it longer than the tensors."""
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
        """Say that the first `steps` time steps of every field are complete, as far as this writer goes."""
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
        """The fields [T, H, N, …] on the device, in the order in which they were asked for."""
        if not self.staged:
            return [target for _, target in self._pairs]
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)  # the pinned memory will be written to again
        return [target.transpose(0, 1).contiguous() for _, target in self._pairs]
