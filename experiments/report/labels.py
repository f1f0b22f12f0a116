"""Words in pictures: names beside the ends of lines, legends, numbers of gradient steps."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import isfinite
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GAP = 0.055  # between two labels, at least, in heights of the axes


def gradient_steps(k: int) -> str:
    """`k` gradient steps in words."""
    return f"{k} gradient step{'' if k == 1 else 's'}"


def label_ends(axis: Axes, names: Sequence[str], ends: Sequence[tuple[float, float]], colours: Sequence[Any]) -> None:
    """Write the names beside the axes, each in its colour at the height of its line's end, apart from the others."""
    axis.get_ylim()  # settles the limits that transData follows
    to_fraction = axis.transData + axis.transAxes.inverted()
    heights = [float(y) if isfinite(y := to_fraction.transform(end)[1]) else 0.0 for end in ends]
    lines = max(name.count("\n") + 1 for name in names)
    size = min(1.0, 1 / (GAP * lines * len(names)))  # smaller where they would not all fit
    for name, height, colour in zip(names, spread(heights, GAP * lines * size), colours, strict=True):
        axis.text(1.02, height, name, color=colour, transform=axis.transAxes, va="center", fontsize=10 * size)


def spread(heights: Sequence[float], gap: float) -> list[float]:
    """`heights` moved, in their order, until no two are nearer than `gap` and none is above 1."""
    order = sorted(range(len(heights)), key=lambda i: heights[i])
    moved = list(heights)
    for below, i in pairwise(order):
        moved[i] = max(moved[i], moved[below] + gap)
    ceiling = 1.0
    for i in reversed(order):
        moved[i] = min(moved[i], ceiling)
        ceiling = moved[i] - gap
    return moved


def style_legend(axis: Axes, *, single: bool) -> None:
    """A legend of line styles below the axes: each once, in grey unless all lines have a `single` colour."""
    unique = {str(line.get_label()): line for line in reversed(axis.get_lines())}
    handles, labels = list(unique.values())[::-1], list(unique)[::-1]
    legend = axis.legend(handles, labels, frameon=False, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.12))
    for handle in legend.get_lines():
        if not single:
            handle.set_color("0.35")


def legend_below(picture: Figure, axis: Axes) -> None:
    """A legend of what `axis` shows below the whole picture, where no line is."""
    handles, labels = axis.get_legend_handles_labels()
    longest = max(map(len, labels))
    columns = min(len(labels), 4 if longest <= 16 else 3 if longest <= 24 else 2)
    picture.legend(handles, labels, loc="outside lower center", frameon=False, ncols=columns)
