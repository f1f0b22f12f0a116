"""Trees of tensors: how many tasks they are of, whether they are sound, and how a message names them."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.utils._pytree import GetAttrKey, keystr, tree_flatten_with_path, tree_leaves

Tree = Any  # a tensor, or tuples, NamedTuples and dicts of trees


def count(tree: Tree, what: str = "the episodes") -> int:
    """T, of a tree of [T, …]. Raises ValueError where its leaves are no tensors, or not of one number of tasks."""
    sizes = {leaf.shape[0] if isinstance(leaf, Tensor) and leaf.dim() else 0 for leaf in tree_leaves(tree)}
    if len(sizes) != 1 or 0 in sizes:
        found = described(tree) or f"no tensor in {type(tree).__name__}"
        raise ValueError(f"axis 0 of every tensor in {what} is the task, of the same 1 or more tasks: found {found}")
    return sizes.pop()


def check_batch(batch: Tree, what: str, *, tasks: int, finite: bool) -> None:
    """Raise ValueError unless `batch` is of so many `tasks` and, with `finite`, all its numbers are finite."""
    found = count(batch, what)
    if found != tasks:
        raise ValueError(f"{what} is of {found} tasks ({described(batch)}), and there are {tasks}: give a row to each")
    for path, leaf in tree_flatten_with_path(batch)[0] if finite else ():
        if leaf.is_floating_point() and not leaf.sum().isfinite() and not leaf.isfinite().all():
            raise ValueError(f"{_name(path) or 'a tensor'} in {what} holds NaN or infinite numbers: mend these data")


def described(tree: Tree, *, most: int = 4) -> str:
    """The first leaves of a tree: "support[0].x [25, 5, 1] float32, …". Where some have names, others are left out."""
    leaves = [(_name(path), leaf) for path, leaf in tree_flatten_with_path(tree)[0]]
    named = [(name, leaf) for name, leaf in leaves if name] or leaves
    kinds = [
        f"{list(leaf.shape)} {str(leaf.dtype).removeprefix('torch.')}" if isinstance(leaf, Tensor)
        else f"of the type {type(leaf).__name__}" for _, leaf in named
    ]  # fmt: skip
    texts = [f"{name} {kind}".strip() for (name, _), kind in zip(named, kinds, strict=True)]
    return ", ".join(texts[:most] + ["…"] * (len(texts) > most))


def _name(path: tuple[Any, ...]) -> str:
    """The fields of NamedTuples on the way to a leaf, from the first of them on."""
    first = next((i for i, key in enumerate(path) if isinstance(key, GetAttrKey)), len(path))
    return keystr(path[first:]).removeprefix(".")
