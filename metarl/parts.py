"""A meta-batch in parts: a few tasks at a time, on all of torch's threads.

Tensors of a few tasks stay in the caches, and memory follows the part, not the meta-batch. Torch's own threads share
one operation at a time, which pays for large ones only; here each thread computes whole parts alone. So the numbers
do not depend on how many threads there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from functools import cache
from itertools import chain
from typing import Any, TypeVar

import torch
from torch import nn
from torch.utils._pytree import tree_leaves, tree_map

Tree = Any  # a tensor, or tuples, NamedTuples and dicts of trees
Module = TypeVar("Module", bound=nn.Module)
Result = TypeVar("Result")


def split(tree: Tree, chunk: int | None) -> Iterator[tuple[Tree, float]]:
    """Cut a tree of [T, …] into parts of at most `chunk` tasks, each with its share of T."""
    total = len(tree_leaves(tree)[0])
    for start in range(0, total, chunk or total):
        stop = min(start + (chunk or total), total)
        yield tree_map(lambda leaf: leaf[start:stop], tree), (stop - start) / total  # noqa: B023


def joined(parts: list[Tree]) -> Tree:
    """The parts of a tree of [T, …] as one."""
    return parts[0] if len(parts) == 1 else tree_map(lambda *leaves: torch.cat(leaves), *parts)


def over_parts(function: Callable[[Module, Tree], Result], module: Module, parts: list[Tree]) -> list[Result]:
    """[function(module, part) for part in parts], on as many threads as torch has on the CPU.

    Each thread has a copy of `module`, which holds the same parameters: `functional_call` changes a module while it
    runs. On a GPU, on one thread, or for one part it is the plain loop. Random numbers drawn in `function` come in no
    certain order: keep all tasks in one part (`chunk=None`) where there are any, as with dropout.
    """
    threads = min(torch.get_num_threads(), len(parts))
    shared = {id(tensor): tensor for tensor in chain(module.parameters(), module.buffers())}
    if threads < 2 or any(tensor.is_cuda for tensor in shared.values()):
        return [function(module, part) for part in parts]
    grad = torch.is_grad_enabled()
    copies = [deepcopy(module, dict(shared)) for _ in range(threads)]

    def work(first: int) -> list[Result]:
        with torch.set_grad_enabled(grad):
            return [function(copies[first], part) for part in parts[first::threads]]

    done = list(_pool(threads).map(work, range(threads)))
    return [done[i % threads][i // threads] for i in range(len(parts))]


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Threads that compute alone: each of torch's operations in them runs on one thread."""
    return ThreadPoolExecutor(threads, "metarl", initializer=_alone)


def _alone() -> None:
    torch.get_num_threads()  # a thread's first question sets its number to the process's: let it be asked before
    torch.set_num_threads(1)
