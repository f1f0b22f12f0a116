"""A learner in the adapted state of one task, as an ordinary module that needs no support."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

from torch import nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from metarl.trees import Tree

if TYPE_CHECKING:
    from metarl.core import Learner


class AdaptedNet(nn.Module):
    """A copy of `learner` in the `state` of one task: a module from inputs [n, …] to predictions."""

    def __init__(self, learner: Learner, state: Tree) -> None:
        super().__init__()
        self.learner = deepcopy(learner).requires_grad_(False)
        leaves, self.spec = tree_flatten(state)
        self.leaves = nn.ParameterList(nn.Parameter(leaf.detach().clone(), requires_grad=False) for leaf in leaves)

    def forward(self, x: Tree) -> Tree:
        return self.learner.predict(tree_unflatten(list(self.leaves), self.spec), x)
