"""Progressive search for a net's cell: from simple cells to complex ones, guided by a predictor of scores.

Auto-Meta (Kim et al. 2018) searches in this way (Liu et al. 2018, algorithm 1) for a cell whose net meta-learns well. A
cell's score is the accuracy on validation tasks after a short meta-training, such as by first-order MAML or Reptile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import combinations_with_replacement, product
from typing import NamedTuple

import numpy as np

from metarl.nets.cells import OPERATIONS, Block, Branch, Cell
from metarl.ranges import Count, Positive, checked

SOURCES = 3  # kinds of a branch's input: the last cell, the cell before it, or a block of the same cell


class Scored(NamedTuple):
    """A cell and its score; larger is better."""

    cell: Cell
    score: float


@checked
def search(
    score: Callable[[Cell], float], *, blocks: Count = 3, beam: Count = 8, first: Count = 16, rng: np.random.Generator
) -> list[Scored]:
    """Search for cells of up to `blocks` blocks with a large `score`. Returns all scored cells, the best first.

    At first, `first` random cells of one block are scored. Then, as often as a block is added, the `beam` best cells of
    the last size are extended in all ways, a predictor that is fitted to all scores so far ranks them, and its `beam`
    best are scored. In the paper all cells of one block are scored, and the predictor is an ensemble of recurrent nets.
    """
    simple = [(block,) for block in possible_blocks(0)]
    chosen = rng.choice(len(simple), min(first, len(simple)), replace=False)
    newest = [Scored(simple[i], score(simple[i])) for i in sorted(chosen)]
    found = list(newest)
    for size in range(1, blocks):
        best = sorted(newest, key=lambda scored: -scored.score)[:beam]
        extended = [(*parent.cell, block) for parent in best for block in possible_blocks(size)]
        predicted = predict_scores(found, extended)
        newest = [Scored(extended[i], score(extended[i])) for i in np.argsort(-predicted, kind="stable")[:beam]]
        found += newest
    return sorted(found, key=lambda scored: -scored.score)


def possible_blocks(earlier: int) -> list[Block]:
    """All blocks that can follow `earlier` blocks in a cell, without regard to the order of the two branches."""
    branches = [Branch(state, operation) for state, operation in product(range(2 + earlier), OPERATIONS)]
    return list(combinations_with_replacement(branches, 2))


@checked
def predict_scores(known: Sequence[Scored], cells: Sequence[Cell], *, weight: Positive = 0.1) -> np.ndarray:
    """The scores [len(cells)] that ridge regression on the `features` of the cells in `known` predicts.

    The solution w of min |X w − (y − mean y)|² + `weight`·|w|² predicts mean y + x·w.
    """
    x, y = features(scored.cell for scored in known), np.array([scored.score for scored in known])
    w = np.linalg.solve(x.T @ x + weight * np.eye(x.shape[1]), x.T @ (y - y.mean()))
    return y.mean() + features(cells) @ w


def features(cells: Iterable[Cell]) -> np.ndarray:
    """What the predictor knows of each cell, [cells, operations + SOURCES].

    It is the frequency of each operation, and of each kind of input, among the cell's branches.
    """
    rows = []
    for cell in cells:
        branches = [branch for block in cell for branch in block]
        operations = [sum(branch.operation == name for branch in branches) for name in OPERATIONS]
        sources = [sum(min(branch.state, SOURCES - 1) == kind for branch in branches) for kind in range(SOURCES)]
        rows.append(np.array(operations + sources) / len(branches))
    return np.array(rows)
