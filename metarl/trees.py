"""Trees of tensors: counting their tasks, checking their numbers, and describing them in messages."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.utils._pytree import GetAttrKey, keystr, tree_flatten_with_path, tree_leaves

Tree = Any
"""A tensor, or a tuple, NamedTuple or dict of trees."""


def count_tasks(tree: Tree, what: str = "the episodes") -> int:
    """The number of tasks T of a tree of [T, …]. Raises ValueError unless all leaves are tensors of one T ≥ 1."""
    sizes = {leaf.shape[0] if isinstance(leaf, Tensor) and leaf.dim() else 0 for leaf in tree_leaves(tree)}
    if len(sizes) != 1 or 0 in sizes:
        found = describe_tree(tree) or f"no tensor in {type(tree).__name__}"
        raise ValueError(f"axis 0 of every tensor in {what} must be the task, of one size ≥ 1: found {found}")
    return sizes.pop()


def check_batch(batch: Tree, what: str, *, tasks: int, finite: bool) -> None:
    """Raise ValueError unless `batch` has this number of `tasks` and, if `finite`, only finite numbers."""
    found = count_tasks(batch, what)
    if found != tasks:
        raise ValueError(f"{what} has {found} tasks, but {tasks} were sampled: it is {describe_tree(batch)}")
    for path, leaf in tree_flatten_with_path(batch)[0] if finite else ():
        if leaf.is_floating_point() and not leaf.sum().isfinite() and not leaf.isfinite().all():
            raise ValueError(f"{_name(path) or 'a tensor'} in {what} holds NaN or infinite numbers: correct the data")


def describe_tree(tree: Tree, *, most: int = 4) -> str:
    """The first leaves of a tree in words: "support[0].x [25, 5, 1] float32, …", with a preference for named ones."""
    leaves = [(_name(path), leaf) for path, leaf in tree_flatten_with_path(tree)[0]]
    named = [(name, leaf) for name, leaf in leaves if name] or leaves
    kinds = [
        f"{list(leaf.shape)} {str(leaf.dtype).removeprefix('torch.')}" if isinstance(leaf, Tensor)
        else f"of the type {type(leaf).__name__}" for _, leaf in named
    ]  # fmt: skip
    texts = [f"{name} {kind}".strip() for (name, _), kind in zip(named, kinds, strict=True)]
    return ", ".join(texts[:most] + ["…"] * (len(texts) > most))


def _name(path: tuple[Any, ...]) -> str:
    """The path to a leaf, from the first field of a NamedTuple on."""
    first = next((i for i, key in enumerate(path) if isinstance(key, GetAttrKey)), len(path))
    return keystr(path[first:]).removeprefix(".")
