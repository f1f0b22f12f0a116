"""The progressive search for cells: what it scores, in which order, and what its predictor computes."""

from __future__ import annotations

from itertools import product

import numpy as np

from metarl.cell_search import Scored, features, possible_blocks, predict_scores, search
from metarl.nets.cells import OPERATIONS, Branch, Cell, parse_cell

WORTH = dict(zip(OPERATIONS, (0.0, 0.5, 1.0, -0.3, 0.2, -0.1), strict=True))


def worth(cell: Cell) -> float:
    """The mean worth of a cell's branches, in which those from earlier blocks count more."""
    return float(np.mean([WORTH[o] * (1 + (state > 1)) for block in cell for state, o in block]))


def test_the_possible_blocks_are_counted() -> None:
    for earlier, branches in ((0, 12), (1, 18), (2, 24)):
        blocks = possible_blocks(earlier)
        assert len(blocks) == len(set(blocks)) == branches * (branches + 1) // 2
        assert {branch for block in blocks for branch in block} == {
            Branch(s, o) for s, o in product(range(2 + earlier), OPERATIONS)
        }


def test_features_are_frequencies() -> None:
    found = features([parse_cell("0-conv3+1-max3 2-conv3+1-max3"), parse_cell("0-avg3+0-identity")])
    np.testing.assert_allclose(found[:, :6], [[0, 0.5, 0, 0, 0.5, 0], [0.5, 0, 0, 0, 0, 0.5]])  # operations
    np.testing.assert_allclose(found[:, 6:], [[0.25, 0.5, 0.25], [1, 0, 0]])  # kinds of input


def test_the_predictor_minimises_its_ridge_loss() -> None:
    rng = np.random.default_rng(0)
    known = [Scored((block,), rng.normal()) for block in possible_blocks(0)[::5]]
    x, y = features(scored.cell for scored in known), np.array([scored.score for scored in known])
    augmented = np.concatenate([x, np.sqrt(0.1) * np.eye(9)])  # ridge regression as least squares
    w = np.linalg.lstsq(augmented, np.concatenate([y - y.mean(), np.zeros(9)]), rcond=None)[0]
    cells = [(block,) for block in possible_blocks(0)]
    np.testing.assert_allclose(predict_scores(known, cells), y.mean() + features(cells) @ w, rtol=1e-9)


def test_a_search_extends_its_best_cells_and_finds_a_good_one() -> None:
    asked: list[Cell] = []

    def score(cell: Cell) -> float:
        asked.append(cell)
        return worth(cell)

    found = search(score, blocks=3, beam=4, first=20, rng=np.random.default_rng(0))
    assert [len(cell) for cell in asked] == [1] * 20 + [2] * 4 + [3] * 4
    assert len(set(asked)) == 28
    assert [scored.score for scored in found] == sorted(map(worth, asked), reverse=True)
    for size in (1, 2):  # each cell extends one of the four best of the size before
        smaller = [cell for cell in asked if len(cell) == size]
        beam = sorted(smaller, key=worth, reverse=True)[:4]
        assert {cell[:-1] for cell in asked if len(cell) == size + 1} <= set(beam)
    rng = np.random.default_rng(1)
    drawn = []
    for _ in range(2000):
        blocks = [possible_blocks(i) for i in range(3)]
        drawn.append(worth(tuple(b[rng.integers(len(b))] for b in blocks)))
    assert found[0].score > np.quantile(drawn, 0.99)
    assert search(worth, blocks=3, beam=4, first=20, rng=np.random.default_rng(0)) == found


def test_a_search_of_one_block_can_score_all() -> None:
    found = search(worth, blocks=1, first=1000, rng=np.random.default_rng(0))
    assert len(found) == 78
    assert found[0].score == max(worth((block,)) for block in possible_blocks(0))
