"""Trees of tensors as flat vectors, and linear systems of such vectors."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

from metarl.devices import one_thread
from metarl.trees import Tree


def flatten(tree: Tree) -> Tensor:
    """All numbers of the tensors in `tree`, one after the other: a vector [n]."""
    return torch.cat([leaf.flatten() for leaf in tree_leaves(tree)])


def unflatten(vector: Tensor, like: Tree) -> Tree:
    """The inverse of `flatten`: the numbers of `vector` [n] as tensors with the shapes of those in the tree `like`."""
    leaves, structure = tree_flatten(like)
    pieces = vector.split([leaf.numel() for leaf in leaves])
    return tree_unflatten([piece.view_as(leaf) for piece, leaf in zip(pieces, leaves, strict=True)], structure)


def inner(a: Tensor, b: Tensor) -> Tensor:
    """The inner product of two vectors [n], computed by one thread.

    With more of torch's threads, `a @ b` is rounded otherwise for each number of them, and takes longer up to n = 10⁵.
    """
    if torch.compiler.is_compiling():
        return a @ b
    with one_thread():
        return a @ b


def conjugate_gradient(
    product: Callable[[Tensor], Tensor], target: Tensor, *, steps: int, tolerance: float | None = None
) -> tuple[Tensor, Tensor]:
    """Solve product(x) = target for x [n] by `steps` of conjugate gradient from x = 0 (Hestenes and Stiefel 1952).

    `product` multiplies a vector [n] by a symmetric positive definite matrix. Returns x and the residual,
    target − product(x). With a `tolerance` the iteration stops when the squared norm of the residual falls below it,
    after one step at the earliest. Without, nothing depends on the values, so that it can run under `torch.func.vmap`.
    """
    x, residual, direction = torch.zeros_like(target), target, target
    squared = inner(residual, residual)
    for step in range(steps):
        if tolerance is not None and (not squared or (step and squared < tolerance)):
            break
        curved = product(direction)
        length = quotient(squared, inner(direction, curved))
        x, residual = x + length * direction, residual - length * curved
        squared, previous = inner(residual, residual), squared
        direction = residual + quotient(squared, previous) * direction
    return x, residual


def quotient(a: Tensor, b: Tensor) -> Tensor:
    """a/b, and 0 where b is 0."""
    return torch.where(b == 0, 0.0, a / torch.where(b == 0, 1.0, b))
