"""Tables of a comparison for the terminal, and as CSV and JSON files."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from math import floor, isfinite, log10
from pathlib import Path
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Column, Table

from metarl.experiments.report.compare import RANDOM, Comparison
from metarl.experiments.report.stored import write_stored
from metarl.experiments.selection import SMALLER_IS_BETTER
from metarl.files import write_text
from metarl.statistics import Estimate

STATISTICS = ("mean", "iqm")
FIRST, CELL = 27, 18  # widths, in characters, of the columns for names and for each number of gradient steps


def table(comparison: Comparison, *, width: int = 140) -> Table:
    """A table of methods × gradient steps: means and interquartile means with intervals, and the range over seeds.

    The random initialisation of the first method has one row. If the table would be wider than `width` characters, some
    numbers of gradient steps are left out, but not the first two and the last.
    """
    steps = _shown(max(row.scores.shape[1] for row in comparison.shown), room=(width - FIRST) // CELL)
    better = "less" if comparison.metric in SMALLER_IS_BETTER else "more"
    several = any(len(row.seeds) > 1 for row in comparison.shown)
    title = f"{comparison.task}: {comparison.metric} ({better} is better) after k gradient steps"
    notes = f"{comparison.tasks} held-out tasks of seed {comparison.test_seed}; {comparison.intervals}; "
    notes += "IQM: mean of the middle half of all scores" + "; by seed: lowest and highest mean of a seed" * several
    if len(comparison.rows) > len(comparison.shown):
        notes += f"; {RANDOM}: that of the first method; --csv and --json write those of all methods"
    method = Column("method", min_width=len("initialisation"))
    result = Table(method, "", title=title, caption=notes, box=SIMPLE_HEAD)
    for k in steps:
        result.add_column(f"k = {k}", no_wrap=True)
    for row in comparison.shown:
        about = [row.name, f"{len(row.seeds)} seed{'s' * (len(row.seeds) > 1)}"]
        about += [f"{_range(row.env_steps)} env steps"] * any(row.env_steps)
        shown = [k for k in steps if k < len(row.mean)]
        blank = [""] * (len(steps) - len(shown))
        lines = [("mean", [_cell(row.mean[k]) for k in shown]), ("IQM", [_cell(row.iqm[k]) for k in shown])]
        if len(row.seeds) > 1:
            lines.append(("by seed", [_span(row.seed_means[k], row.mean[k]) for k in shown]))
        columns = zip(*(cells for _, cells in lines), strict=True)
        names = "\n".join(name + "\n" * (name != "by seed") for name, _ in lines)
        result.add_row(escape("\n".join(about)), names, *("\n".join(cells) for cells in columns), *blank)
        result.add_section()
    return result


def write_csv(comparison: Comparison, file: Path) -> None:
    """Write a CSV file with a line for each method and number of gradient steps; empty cells if adaptation diverged.

    In addition to the statistics, a line has the preset, the numbers of seeds and tasks, and the mean over seeds of the
    environment steps in training.
    """
    text = io.StringIO()
    columns = ["method", "preset", "seeds", "tasks", "env_steps", "gradient_steps"]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*columns, *(name + end for name in STATISTICS for end in ("", "_low", "_high"))])
    for row in comparison.rows:
        env_steps = round(sum(row.env_steps) / len(row.env_steps))
        lead = [row.name, row.preset, len(row.seeds), comparison.tasks, env_steps]
        for k, pair in enumerate(zip(row.mean, row.iqm, strict=True)):
            writer.writerow([*lead, k, *_nulls(value for one in pair for value in one)])
    write_text(file, text.getvalue())


def write_json(comparison: Comparison, file: Path) -> None:
    """Write a JSON file with a line for each row, which includes the mean of each seed; null if adaptation diverged."""
    rows = []
    for row in comparison.rows:
        entry: dict[str, Any] = {"method": row.name, "preset": row.preset, "settings": row.settings}
        entry |= {"seeds": row.seeds, "iterations": row.iterations, "env_steps": row.env_steps}
        for name in STATISTICS:
            for end, values in zip(("", "_low", "_high"), zip(*getattr(row, name), strict=True), strict=True):
                entry[name + end] = _nulls(values)
        rows.append({**entry, "seed_means": [_nulls(values) for values in row.seed_means]})
    head = {name: getattr(comparison, name) for name in ("task", "metric", "tasks", "test_seed", "intervals")}
    write_stored({**head, "rows": rows}, file)


def _shown(count: int, *, room: int) -> list[int]:
    """The numbers of gradient steps, out of 0 … `count` − 1, that are shown in `room` columns (at least three)."""
    if count <= max(room, 3):
        return list(range(count))
    between = max(room, 3) - 2
    return [0, *(1 + i * (count - 2) // between for i in range(between + 1))]


def _cell(found: Estimate) -> str:
    """Two lines with the estimate and its interval; the number of decimals depends on the width of the interval."""
    if not isfinite(found.value):
        return "diverged\n"
    value, low, high = (f"{x:.{_decimals(found.high - found.low)}f}" for x in found)
    return f"{value}\n[{low}, {high}]"


def _span(values: np.ndarray, found: Estimate) -> str:
    """The lowest and the highest of `values`, with as many decimals as their mean, `found`."""
    decimals = _decimals(found.high - found.low)
    return f"{values.min():.{decimals}f} … {values.max():.{decimals}f}" if isfinite(found.value) else "diverged"


def _decimals(width: float) -> int:
    """The number of decimals for which half of `width` has two significant digits."""
    return min(6, max(0, 1 - floor(log10(width / 2)))) if width > 0 else 3  # 3 also for nan


def _range(counts: tuple[int, ...]) -> str:
    low, high = (f"{count / 1e6:.3g}M" if count >= 1e6 else f"{count:,}" for count in (min(counts), max(counts)))
    return low if low == high else f"{low} … {high}"


def _nulls(values: Iterable[float]) -> list[float | None]:
    return [float(value) if isfinite(value) else None for value in values]
