"""The published results in experiments/results can be read, and give the tables that stand beside them."""

import json
from pathlib import Path

import numpy as np
import pytest

from metarl.experiments.report.compare import compare

RESULTS = Path(__file__).parents[3] / "experiments" / "results"
TABLES = sorted(RESULTS.glob("*/table.json"))


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.parent.name)
def test_evaluations_of_a_reproduction_give_its_table(table: Path) -> None:
    stored = {row["method"]: row for row in json.loads(table.read_text())["rows"] if "random" not in row["method"]}
    comparison = compare(sorted(table.parent.glob("*-[0-9].json")))
    found = {row.name: row for row in comparison.rows if not row.random}
    assert found.keys() == stored.keys()
    for name, row in found.items():
        assert list(row.seeds) == stored[name]["seeds"]
        np.testing.assert_allclose(row.scores.mean((0, 2)), np.array(stored[name]["mean"], float), rtol=1e-5)


def test_there_are_published_results() -> None:
    assert len(TABLES) >= 18
