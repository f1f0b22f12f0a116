"""The adapted models of a meta-batch of tasks as a single function."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.func import vmap
from torch.utils._pytree import tree_map

from metarl.parts import concatenate, lock, map_parts, readable_errors, split
from metarl.trees import Tree, count_tasks

if TYPE_CHECKING:
    from metarl.core import Learner


class Predictor:
    """The adapted models of T tasks: a function from inputs [T, …] to outputs [T, …], each task with its own state.

    The states are computed when they are first used. Supervised tasks ignore the predictor, so they cost nothing there.
    `chunk` bounds the number of tasks that are computed at a time.
    """

    def __init__(self, learner: Learner, make_states: Callable[[], Tree], *, chunk: int | None = None) -> None:
        self.learner, self._make_states, self.chunk = learner, make_states, chunk

    @cached_property
    def states(self) -> Tree:
        """The adapted states, stacked: every leaf is [T, …]."""
        with lock(self.learner), torch.no_grad():
            return self._make_states()

    @property
    def used(self) -> bool:
        """Whether the states were computed. If so, the tasks' batches may depend on predictions that are not finite."""
        return "states" in self.__dict__

    def __call__(self, x: Tree) -> Tree:
        count_tasks((x, self.states), "inputs and states")
        with lock(self.learner), readable_errors(self.learner, x):
            return vmap(self.learner.predict, chunk_size=self.chunk)(self.states, x)

    def arrays(self, tasks: slice | None = None) -> Callable[[np.ndarray], Tree]:
        """The same function for NumPy arrays, float32 [T, N, x] to [T, N, …], of all tasks or of a slice of them.

        Simulators call it. Several threads may call it at the same time if the learner is `in_numpy`.
        """
        states = self.states if tasks is None else tree_map(lambda leaf: leaf[tasks], self.states)
        with lock(self.learner):
            return self.learner.arrays(states)

    def after(self, batch: Tree, k: int) -> Predictor:
        """The predictor after inner step `k` on a support batch [T, …]."""

        def part(learner: Learner, part: tuple[Tree, Tree]) -> Tree:
            batch, states = part
            return vmap(partial(learner.step, k=k), randomness="different")(states, batch)

        def make_states() -> Tree:
            return concatenate(map_parts(part, self.learner, split((batch, self.states), self.chunk)))

        return Predictor(self.learner, make_states, chunk=self.chunk)
