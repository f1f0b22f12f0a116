"""Computing a meta-batch in parts, a few tasks at a time, on all of torch's threads.

The tensors of a few tasks fit into the processor's caches, and memory depends on the size of a part rather than on the
meta-batch. torch itself splits each single operation over its threads, which is worthwhile only for large ones; here
each thread computes whole parts. The results do not depend on the number of threads.
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

from metarl.distributed import gather
from metarl.trees import Tree, count_tasks, describe_tree

Module = TypeVar("Module", bound=nn.Module)
Result = TypeVar("Result")


def split(tree: Tree, chunk: int | None) -> list[Tree]:
    """Cut a tree of [T, …] into parts of at most `chunk` tasks."""
    total = count_tasks(tree)
    size = chunk or total
    if total <= size:
        return [tree]
    return [tree_map(lambda leaf: leaf[start : start + size], tree) for start in range(0, total, size)]  # noqa: B023


def split_weighted(tree: Tree, chunk: int | None) -> list[tuple[Tree, float]]:
    """The parts of `split`, each with its number of tasks as a fraction of those of all processes."""
    total = sum(gather(count_tasks(tree)))
    return [(part, count_tasks(part) / total) for part in split(tree, chunk)]


def concatenate(parts: list[Tree]) -> Tree:
    """Join the parts of a tree of [T, …], the inverse of `split`."""
    return parts[0] if len(parts) == 1 else tree_map(lambda *leaves: torch.cat(leaves), *parts)


def map_parts(function: Callable[[Module, Tree], Result], module: Module, parts: list[Tree]) -> list[Result]:
    """[function(module, part) for part in parts], computed on as many CPU threads as torch is set to use.

    Each thread has a copy of `module` that shares its parameters, because `functional_call` modifies a module while it
    runs. On a GPU, with one thread, or for a single part this is a plain loop that holds the module's `lock`. The order
    in which `function` draws random numbers is not defined.
    """
    with readable_errors(module, parts[0]):
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
    """The lock of `module`; hold it to run the module or read its parameters while other threads might run it.

    `torch.func.functional_call` replaces the module's own parameters by those of a task while it runs.
    """
    return _locks.setdefault(module, RLock())


_locks: WeakKeyDictionary[nn.Module, RLock] = WeakKeyDictionary()  # an attribute could not be copied or pickled


@contextmanager
def readable_errors(module: nn.Module, tree: Tree) -> Iterator[None]:
    """Turn torch's errors about a net, loss and tasks (`tree`) that do not match into a one-line ValueError.

    Raises FloatingPointError for a linear system that cannot be solved.
    """
    name = type(module).__name__
    try:
        yield
    except torch.linalg.LinAlgError as error:
        raise FloatingPointError(
            f"{name} cannot solve its linear system ({_reason(error)}): the features or the training have diverged; "
            "use a smaller outer learning rate"
        ) from error
    except (RuntimeError, TypeError, AttributeError, IndexError) as error:
        if type(error) not in (RuntimeError, TypeError, AttributeError, IndexError):
            raise  # such as an out-of-memory error
        raise ValueError(
            f"{name} cannot compute with {describe_tree(tree) or 'these tasks'}: {_reason(error)}; net, loss, "
            "objective and tasks must match in their sizes, types, devices and labels (0 … classes − 1)"
        ) from error


def _reason(error: Exception) -> str:
    """The first line of an error message."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """A pool of threads in each of which torch's operations run on that one thread."""
    return ThreadPoolExecutor(threads, "metarl", initializer=_use_one_thread)


def _use_one_thread() -> None:
    torch.get_num_threads()  # the first call in a thread resets its number to the process's, so call it before setting
    torch.set_num_threads(1)


def _reset_after_fork() -> None:
    """Forget threads and locks in a forked process, which has none of its parent's threads."""
    _pool.cache_clear()
    _locks.clear()
    torch.set_num_threads(1)  # with more, torch would wait for GNU OpenMP's threads, which a fork does not copy


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)
