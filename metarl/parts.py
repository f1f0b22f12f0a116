"""A meta-batch in parts: a few tasks at a time, on all of torch's threads.

Tensors of a few tasks stay in the caches, and memory follows the part, not the meta-batch. Torch's own threads share
one operation at a time, which pays for large ones only; here each thread computes whole parts alone. So the numbers
do not depend on how many threads there are.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from copy import deepcopy
from functools import cache
from itertools import chain
from threading import RLock
from typing import TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import nn
from torch.utils._pytree import tree_map

from metarl.trees import Tree, count, described

Module = TypeVar("Module", bound=nn.Module)
Result = TypeVar("Result")


def split(tree: Tree, chunk: int | None) -> Iterator[tuple[Tree, float]]:
    """Cut a tree of [T, …] into parts of at most `chunk` tasks, each with its share of T."""
    total = count(tree)
    for start in range(0, total, chunk or total):
        stop = min(start + (chunk or total), total)
        yield tree_map(lambda leaf: leaf[start:stop], tree), (stop - start) / total  # noqa: B023


def joined(parts: list[Tree]) -> Tree:
    """The parts of a tree of [T, …] as one."""
    return parts[0] if len(parts) == 1 else tree_map(lambda *leaves: torch.cat(leaves), *parts)


def over_parts(function: Callable[[Module, Tree], Result], module: Module, parts: list[Tree]) -> list[Result]:
    """[function(module, part) for part in parts], on as many threads as torch has on the CPU.

    Each thread has a copy of `module`, which holds the same parameters: `functional_call` changes a module while it
    runs. On a GPU, on one thread, or for one part it is the plain loop, for which no other thread may run the module
    meanwhile. Random numbers drawn in `function` come in no certain order.
    """
    with fitting(module, parts[0]):
        threads = min(torch.get_num_threads(), len(parts))
        with lock(module):
            shared = {id(tensor): tensor for tensor in chain(module.parameters(), module.buffers())}
            if threads < 2 or any(tensor.is_cuda for tensor in shared.values()):
                return [function(module, part) for part in parts]
            copies = [deepcopy(module, dict(shared)) for _ in range(threads)]
        grad = torch.is_grad_enabled()

        def work(first: int) -> list[Result]:
            with torch.set_grad_enabled(grad):
                return [function(copies[first], part) for part in parts[first::threads]]

        done = list(_pool(threads).map(work, range(threads)))
        return [done[i % threads][i // threads] for i in range(len(parts))]


def lock(module: nn.Module) -> RLock:
    """The lock of whoever runs `module` itself, or reads its parameters, while other threads might run it.

    To evaluate a module with a task's own parameters torch puts these in the places of the module's own meanwhile.
    """
    return _locks.setdefault(module, RLock())


_locks: WeakKeyDictionary[nn.Module, RLock] = WeakKeyDictionary()  # beside modules, which can then be copied and saved


@contextmanager
def fitting(module: nn.Module, tree: Tree) -> Iterator[None]:
    """Say in one line, as a ValueError, why a net, a loss and tasks (`tree`) that do not fit together fail in torch.

    Raises FloatingPointError for a system of equations that has no solution.
    """
    name = type(module).__name__
    try:
        yield
    except torch.linalg.LinAlgError as error:
        raise FloatingPointError(
            f"{name} cannot solve its linear system ({_reason(error)}): its features or its training have diverged; "
            "use a smaller outer step size"
        ) from error
    except (RuntimeError, TypeError, AttributeError, IndexError) as error:
        if type(error) not in (RuntimeError, TypeError, AttributeError, IndexError):
            raise  # such as a lack of memory
        raise ValueError(
            f"{name} cannot compute with {described(tree) or 'these tasks'}: {_reason(error)}; net, loss, objective "
            "and tasks must fit together in their sizes, types, devices and labels (0 … classes − 1)"
        ) from error


def _reason(error: Exception) -> str:
    """The first line of an error."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Threads that compute alone: each of torch's operations in them runs on one thread."""
    return ThreadPoolExecutor(threads, "metarl", initializer=_alone)


def _alone() -> None:
    torch.get_num_threads()  # a thread's first question sets its number to the process's: let it be asked before
    torch.set_num_threads(1)


def _begin_anew() -> None:
    """In a forked process: no thread came along, neither ours, nor what holds a lock, nor torch's own."""
    _pool.cache_clear()
    _locks.clear()
    torch.set_num_threads(1)  # more would wait for those of GNU's OpenMP, which stayed behind


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
