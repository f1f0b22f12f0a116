"""Labels of lines, and legends, in figures."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import isfinite
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GAP = 0.055  # minimum distance between labels, as a fraction of the height of the axes


def gradient_steps(k: int) -> str:
    """The words "1 gradient step" or "k gradient steps"."""
    return f"{k} gradient step{'' if k == 1 else 's'}"


def label_ends(axis: Axes, names: Sequence[str], ends: Sequence[tuple[float, float]], colours: Sequence[Any]) -> None:
    """Write names on the right of the axes, each in the colour and at the height of the end of its line.

    Names that would overlap are moved apart.
    """
    axis.get_ylim()  # computes the limits, on which transData depends
    to_fraction = axis.transData + axis.transAxes.inverted()
    heights = [float(y) if isfinite(y := to_fraction.transform(end)[1]) else 0.0 for end in ends]
    lines = max(name.count("\n") + 1 for name in names)
    size = min(1.0, 1 / (GAP * lines * len(names)))  # smaller letters if not all names fit
    for name, height, colour in zip(names, separate(heights, GAP * lines * size), colours, strict=True):
        axis.text(1.02, height, name, color=colour, transform=axis.transAxes, va="center", fontsize=10 * size)


def separate(heights: Sequence[float], gap: float) -> list[float]:
    """Move `heights` apart, keeping their order, so that distances are at least `gap` and none is above 1."""
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
    """Add a legend of line styles below the axes. Lines are grey in it unless all have a `single` colour."""
    unique = {str(line.get_label()): line for line in reversed(axis.get_lines())}
    handles, labels = list(unique.values())[::-1], list(unique)[::-1]
    legend = axis.legend(handles, labels, frameon=False, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.12))
    for handle in legend.get_lines():
        if not single:
            handle.set_color("0.35")


def legend_below(picture: Figure, axis: Axes) -> None:
    """Add a legend of the lines in `axis` below the whole figure."""
    handles, labels = axis.get_legend_handles_labels()
    longest = max(map(len, labels))
    columns = min(len(labels), 4 if longest <= 16 else 3 if longest <= 24 else 2)
    picture.legend(handles, labels, loc="outside lower center", frameon=False, ncols=columns)
