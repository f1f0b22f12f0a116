"""Figures of several runs: scores after adaptation, learning curves, and achieved against goal quantities.

Each function returns a Matplotlib figure with a width of 8 inches. They raise ValueError if matplotlib is missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from metarl.experiments.report.labels import legend_below
from metarl.experiments.report.progress import Progress, read_run
from metarl.experiments.report.style import (
    BEFORE,
    LINES,
    RANDOM,
    gradient_step_axis,
    logarithmic,
    new_figure,
    panels,
)
from metarl.experiments.selection import SMALLER_IS_BETTER

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 8.0  # inches
GREYS = ("0.25", "0.45", "0.6")  # of random initialisations and published numbers
MARKERS = "os^Dv<>pX"  # one more than there are colours, so that the ninth line differs from the first
DODGE = 0.05  # horizontal shift from the first to the last line, as a fraction of the axis, to separate intervals


class Curve(NamedTuple):
    """A line of the adaptation figure: entry k is the score after k gradient steps, nan if adaptation diverged."""

    label: str
    value: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    random: bool = False  # whether it is of a random initialisation, which is drawn grey and dotted


def adaptation_figure(
    curves: Sequence[Curve],
    *,
    metric: str,
    title: str = "",
    references: Mapping[str, Sequence[float]] | None = None,
) -> Figure:
    """A figure of mean scores with intervals against the number of gradient steps (Finn et al. 2017, figures 2 and 5).

    `references` are published scores {label: [value after 0, 1, … gradient steps]}, with nan for those that were not
    published; they are drawn grey and dashed.
    """
    picture = new_figure(WIDTH, 5.0)
    (axis,) = panels(picture, 1)
    published = references or {}
    last = max(1, *(len(values) - 1 for values in (*(curve.value for curve in curves), *published.values())))
    dodges = np.linspace(-0.5, 0.5, len(curves)) * DODGE * last if len(curves) > 1 else np.zeros(1)
    colours, greys, markers = cycle(LINES), cycle(GREYS), cycle(MARKERS)
    for curve, dodge in zip(curves, dodges, strict=True):
        x = np.arange(len(curve.value)) + dodge
        value, low, high = (np.asarray(v, float) for v in (curve.value, curve.low, curve.high))
        axis.errorbar(
            x, value, [value - low, high - value], label=curve.label, capsize=2, linewidth=1.6, elinewidth=1,
            linestyle=RANDOM if curve.random else "-", color=next(greys if curve.random else colours),
            marker=next(markers), markersize=5,
        )  # fmt: skip
    hollow = cycle(MARKERS)
    for label, values in published.items():
        axis.errorbar(  # not `plot`, whose lines would be listed first in the legend
            np.arange(len(values)), np.asarray(values, float), label=label, color=next(greys), linestyle=BEFORE,
            linewidth=1.2, marker=next(hollow), markersize=6, markerfacecolor="white", zorder=1.5,
        )  # fmt: skip
    positive = all(v > 0 for c in curves for v in (*c.value, *c.low) if v == v)
    if metric in SMALLER_IS_BETTER and positive:
        logarithmic(axis)
    gradient_step_axis(axis)
    axis.set(ylabel=f"mean {metric}", xlim=(-0.04 * last, 1.04 * last))
    axis.set_title(title, fontsize="medium")
    legend_below(picture, axis)
    return picture


def learning_figure(runs: Mapping[str, Sequence[Path]], *, title: str = "") -> Figure:
    """A figure of scores in training, before and after adaptation, against environment steps.

    `runs` are {label: run folders of all seeds}. Lines are means over seeds, and bands extend from the lowest to the
    highest seed. The curves of a label end with its shortest run. A method that does not adapt in training, such as a
    pre-trained policy, is only in the left panel. Raises ValueError for a folder that is not a run folder or has no
    rows of progress yet, and for runs with different metrics.
    """
    if not runs or not all(runs.values()):
        raise ValueError("there is nothing to draw: give each label one or more run folders")
    read = {label: [read_run(path) for path in paths] for label, paths in runs.items()}
    progress = Progress([run for several in read.values() for run in several])
    picture = new_figure(WIDTH, 4.2)
    before, after = panels(picture, 2, sharey=True)
    for (label, several), colour in zip(read.items(), cycle(LINES), strict=False):
        line = {"color": colour, "linewidth": 1.6, "label": label}
        progress.draw(before, several, 0, shade=0.18, **line)
        if k := max(several[0].scores):
            progress.draw(after, several, k, shade=0.18, **line)
    for axis, name in ((before, "before adaptation"), (after, progress.adapted)):
        axis.set_title(name, fontsize="medium")
        progress.label(axis)
        if progress.metric in SMALLER_IS_BETTER:
            logarithmic(axis)
    before.set_ylabel(f"mean {progress.metric}")
    notes = ", ".join(progress.notes(bands=any(len(paths) > 1 for paths in runs.values())))
    picture.suptitle("\n".join(filter(None, (title, notes))), fontsize="medium")
    legend_below(picture, before)
    return picture


def goal_figure(
    goals: Sequence[float] | np.ndarray,
    achieved: Mapping[str, Sequence[float] | np.ndarray],
    *,
    title: str = "",
    quantity: str = "velocity",
    unit: str = "m/s",
) -> Figure:
    """A figure of achieved values against goals; on the diagonal, the goal is achieved.

    `achieved` is {label: one value for each goal}, with labels such as "before adaptation" and "after 1 gradient step".
    Markers of the first label are hollow. Raises ValueError if the numbers of values and goals differ.
    """
    picture = new_figure(WIDTH, 6.0)
    (axis,) = panels(picture, 1)
    goals = np.asarray(goals, float)
    low, high = min(0.0, goals.min()), goals.max()
    margin = 0.05 * (high - low)
    ends = [low - margin, high + margin]
    axis.plot(ends, ends, color="0.6", linewidth=1, linestyle=BEFORE, label="goal", zorder=1)
    for i, (label, colour, marker) in enumerate(zip(achieved, cycle(LINES), cycle(MARKERS), strict=False)):
        values = np.asarray(achieved[label], float)
        if values.shape != goals.shape:
            shapes = f"shape {values.shape} for goals of {goals.shape}"
            raise ValueError(f"{label!r} has values of {shapes}: give one value for each goal")
        face = "white" if i == 0 and len(achieved) > 1 else colour
        axis.scatter(goals, values, s=30, marker=marker, facecolor=face, edgecolor=colour, label=label, zorder=2 + i)
    axis.set(xlabel=f"goal {quantity} ({unit})", ylabel=f"achieved {quantity} ({unit})", xlim=ends)
    axis.set_title(title, fontsize="medium")
    legend_below(picture, axis)
    return picture


def accuracy_figure(curves: Sequence[Curve], *, title: str = "") -> Figure:
    """A figure of the accuracies of all methods with intervals, with the best method at the top.

    Hollow markers are accuracies before adaptation. A method without gradient steps has one entry, the accuracy after
    reading the support.
    """
    picture = new_figure(WIDTH, 1.2 + 0.24 * len(curves))
    (axis,) = panels(picture, 1)
    for place, curve in enumerate(sorted(curves, key=lambda curve: curve.value[-1])):
        value, low, high = (float(values[-1]) for values in (curve.value, curve.low, curve.high))
        axis.errorbar(value, place, xerr=[[value - low], [high - value]], fmt="o", color=LINES[0], capsize=2)
        if len(curve.value) > 1:
            axis.plot(curve.value[0], place, "o", markerfacecolor="white", markeredgecolor=LINES[0])
    axis.set_yticks(range(len(curves)), [c.label for c in sorted(curves, key=lambda curve: curve.value[-1])])
    axis.set(xlabel="accuracy (hollow: before adaptation)")
    axis.grid(axis="x", color="0.9")
    axis.set_title(title, fontsize="medium")
    return picture
