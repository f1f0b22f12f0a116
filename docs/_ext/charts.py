"""Charts of measured scores, as SVG that takes its colours from the page's theme (see site.css)."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

RESULTS = Path(__file__).parents[2] / "experiments" / "results"
WORDS = {"loss": "mean squared error", "accuracy": "accuracy", "return": "mean return"}


class Row(NamedTuple):
    """One method of a comparison: means and intervals after 0, 1, … gradient steps."""

    method: str
    seeds: Sequence[int]
    mean: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


def rows_of(table: dict[str, Any]) -> list[Row]:
    """The trained methods of a table.json."""
    return [
        Row(row["method"], row["seeds"], row["mean"], row["mean_low"], row["mean_high"])
        for row in table["rows"]
        if not row["method"].startswith("random")
    ]


def number(value: float) -> str:
    """A score in few digits."""
    return f"{value:.3g}".replace("-", "−")


def scale(values: Sequence[float], start: float, end: float) -> tuple[Callable[[float], float], list[float]]:
    """Scores to pixels from `start` to `end`, logarithmic where they span decades; and round numbers to label."""
    low, high = min(values), max(values)
    if low > 0 and high / low > 30:
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        bottom, top = decades[0], decades[-1]
        return (lambda v: start + (math.log10(v) - bottom) / (top - bottom) * (end - start)), [10.0**d for d in decades]
    step = 10.0 ** math.floor(math.log10(high - low or 1))
    step = next(step * f for f in (0.2, 0.5, 1, 2) if (high - low) / (step * f) <= 6)
    bottom, top = math.floor(low / step), math.ceil(high / step)
    marks = [round(i * step, 10) for i in range(bottom, top + 1)]
    span = marks[-1] - marks[0]
    return (lambda v: start + (v - marks[0]) / span * (end - start)), marks


def steps_chart(this: Row, others: Sequence[Row], word: str) -> str:
    """Score against gradient steps: `this` with its interval, the others in grey."""
    last = len(this.mean) - 1
    values = [v for row in (this, *others) for v in (*row.low, *row.high)]
    y, marks = scale(values, 268, 22)

    def x(k: int) -> float:
        return 62 + k / last * 500

    def line(row: Row, kind: str) -> str:
        points = " ".join(f"{x(k):.1f},{y(v):.1f}" for k, v in enumerate(row.mean[: last + 1]))
        return f'<polyline class="{kind}" points="{points}"><title>{row.method}</title></polyline>'

    band = [f"{x(k):.1f},{y(v):.1f}" for k, v in enumerate(this.high)]
    band += [f"{x(k):.1f},{y(v):.1f}" for k, v in reversed(list(enumerate(this.low)))]
    parts = [line(row, "other") for row in others]
    parts += [f'<polygon class="band" points="{" ".join(band)}"/>', line(this, "this")]
    parts += [f'<circle class="dot" cx="{x(k):.1f}" cy="{y(v):.1f}" r="3.5"/>' for k, v in enumerate(this.mean)]
    for mark in marks:
        parts.append(f'<text x="54" y="{y(mark) + 4:.1f}" text-anchor="end">{number(mark)}</text>')
        parts.append(f'<line class="axis" x1="58" x2="62" y1="{y(mark):.1f}" y2="{y(mark):.1f}"/>')
    parts.append('<path class="axis" fill="none" d="M62 18V276H566"/>')
    parts += [f'<text x="{x(k):.1f}" y="292" text-anchor="middle">{k}</text>' for k in range(last + 1)]
    parts.append('<text x="314" y="312" text-anchor="middle">gradient steps</text>')
    parts.append(f'<text x="62" y="11">{word}</text>')
    return f'<svg viewBox="0 0 580 320" role="img">{"".join(parts)}</svg>'


def methods_chart(this: Row, rows: Sequence[Row], word: str, *, descending: bool) -> str:
    """The last score of every method, in order, `this` highlighted."""
    rows = sorted(rows, key=lambda row: row.mean[-1], reverse=descending)
    x, marks = scale([v for row in rows for v in (row.low[-1], row.high[-1])], 150, 520)
    bottom = 30 + 17 * len(rows)
    parts = [f'<text x="150" y="11">{word}</text>', f'<path class="axis" fill="none" d="M150 18V{bottom}H530"/>']
    for mark in marks:
        parts.append(f'<text x="{x(mark):.1f}" y="{bottom + 16}" text-anchor="middle">{number(mark)}</text>')
    for i, row in enumerate(rows):
        y, own = 30 + 17 * i, row is this
        parts.append(f'<text class="{"name" if own else ""}" x="142" y="{y + 4}" text-anchor="end">{row.method}</text>')
        ends = f'x1="{x(row.low[-1]):.1f}" x2="{x(row.high[-1]):.1f}"'
        parts.append(f'<line class="{"this" if own else "other"}" {ends} y1="{y}" y2="{y}"/>')
        parts.append(f'<circle class="{"dot" if own else "other-dot"}" cx="{x(row.mean[-1]):.1f}" cy="{y}" r="3.5"/>')
    return f'<svg viewBox="0 0 580 {bottom + 24}" role="img">{"".join(parts)}</svg>'


def figure(folder: str, method: str) -> str:
    """The chart and its caption, as HTML. Raises ValueError for a method that the comparison does not have."""
    table = json.loads((RESULTS / folder / "table.json").read_text())
    rows = rows_of(table)
    this = next((row for row in rows if row.method == method), None)
    if this is None:
        raise ValueError(f"experiments/results/{folder} has no {method}: {', '.join(row.method for row in rows)}")
    word = WORDS[table["metric"]]
    seeds = "one seed" if len(this.seeds) == 1 else f"{len(this.seeds)} seeds"
    if len(this.mean) > 1:
        others = [row for row in rows if row is not this and len(row.mean) > 1]
        chart = steps_chart(this, others, word)
        what = f"The {word} of {method} after each gradient step"
        grey = "; grey: the other methods of the same comparison" if others else ""
    else:
        chart = methods_chart(this, rows, word, descending=table["metric"] != "loss")
        what, grey = f"The {word} of {method} and of the other methods of the same comparison", ""
    caption = f"{what}, on {table['tasks']} held-out tasks ({seeds}, with 95 % intervals{grey})."
    source = f"Numbers: <code>experiments/results/{folder}/table.json</code>."
    chart = chart.replace('role="img">', f'role="img" aria-label="{html.escape(caption)}">', 1)
    return f'<figure class="scores">{chart}<figcaption>{html.escape(caption)} {source}</figcaption></figure>'
