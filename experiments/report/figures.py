"""Pictures of several runs: adaptation beside published curves, learning curves over seeds, goals and what was reached.

Each function returns a Matplotlib figure 8 inches wide; `save` writes it. ValueError without matplotlib.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from metarl.experiments.report.output import check_output
from metarl.experiments.report.plot import (
    BEFORE,
    MANY,
    RANDOM,
    ROWS,
    SUFFIXES,
    gradient_steps,
    pooled,
    read_run,
    write_picture,
)
from metarl.experiments.selection import SMALLER_IS_BETTER

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LINES = MANY[:-1]  # grey is for random initialisations
GREYS = ("0.25", "0.45", "0.6")  # of random initialisations and published numbers
MARKERS = "os^Dv<>pX"  # one more than colours: a ninth line differs from the first
DODGE = 0.05  # between the first and the last line's markers, of the axis, so that intervals stand beside each other


class Curve(NamedTuple):
    """A line of the adaptation figure: entry k is after k gradient steps, nan where adaptation diverged."""

    label: str
    value: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    random: bool = False  # of a random initialisation: grey and dotted


def adaptation_figure(
    curves: Sequence[Curve],
    *,
    metric: str,
    title: str = "",
    references: Mapping[str, Sequence[float]] | None = None,
) -> Figure:
    """Mean score after 0, 1, … gradient steps with its interval, a line a curve (Finn et al. 2017, figures 2 and 5).

    `references` are published numbers {label: [value after 0, 1, … gradient steps]}, drawn grey and dashed; nan where
    none was published.
    """
    from matplotlib.ticker import MaxNLocator

    picture, (axis,) = _figure(1, height=5.0)
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
        axis.errorbar(  # without errors: the legend lists what `plot` draws first
            np.arange(len(values)), np.asarray(values, float), label=label, color=next(greys), linestyle=BEFORE,
            linewidth=1.2, marker=next(hollow), markersize=6, markerfacecolor="white", zorder=1.5,
        )  # fmt: skip
    positive = all(v > 0 for c in curves for v in (*c.value, *c.low) if v == v)
    if metric in SMALLER_IS_BETTER and positive:
        _logarithmic(axis)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set(xlabel="gradient steps", ylabel=f"mean {metric}", xlim=(-0.04 * last, 1.04 * last))
    if title:
        axis.set_title(title, fontsize="medium")
    _legend(picture, axis)
    return picture


def learning_figure(runs: Mapping[str, Sequence[Path]], *, title: str = "") -> Figure:
    """Scores before and after adaptation in training, {label: run folders of its seeds}, against environment steps.

    Lines are means over seeds, bands reach from the lowest to the highest seed. A label's curves end where its
    shortest run does. A method that does not adapt in training, such as a pre-trained policy, is on the left alone.
    Raises ValueError for a folder that is no run folder or has no rows yet, and for runs with different metrics.
    """
    if not runs or not all(runs.values()):
        raise ValueError("nothing to draw: give each label one or more run folders")
    read = {label: [read_run(path) for path in paths] for label, paths in runs.items()}
    found = [run for several in read.values() for run in several]
    if len(metrics := {run.metric for run in found}) > 1:
        raise ValueError(f"these runs score {' and '.join(sorted(metrics))}, which share no axis: draw them apart")
    picture, axes = _figure(2, height=4.2)
    simulated = all(run.env_steps[-1] > 0 for run in found)
    window = max(1, max(len(run.iterations) for run in found) // ROWS)
    last = sorted({max(run.scores) for run in found} - {0})
    for (label, several), colour in zip(read.items(), cycle(LINES), strict=False):
        for axis, after in zip(axes, (False, True), strict=True):
            steps = max(several[0].scores) if after else 0
            if after and not steps:
                continue
            x, scores = pooled(several, steps, simulated=simulated, window=window)
            axis.plot(x, scores.mean(axis=0), color=colour, linewidth=1.6, label=label)
            axis.fill_between(x, scores.min(axis=0), scores.max(axis=0), color=colour, alpha=0.18, linewidth=0)
    adapted = f"after {gradient_steps(last[0])}" if len(last) == 1 else "after adaptation"
    for axis, name in zip(axes, ("before adaptation", adapted), strict=True):
        axis.set_title(name, fontsize="medium")
        axis.set_xlabel("environment steps" if simulated else "iterations")
        _engineering(axis)
        if found[0].metric in SMALLER_IS_BETTER:
            _logarithmic(axis)
    axes[0].set_ylabel(f"mean {found[0].metric}")
    several_seeds = any(len(paths) > 1 for paths in runs.values())
    notes = ["bands: lowest to highest seed"] * several_seeds + [f"running mean of {window} rows"] * (window > 1)
    picture.suptitle("\n".join(filter(None, (title, ", ".join(notes)))), fontsize="medium")
    _legend(picture, axes[0])
    return picture


def goal_figure(
    goals: Sequence[float] | np.ndarray,
    achieved: Mapping[str, Sequence[float] | np.ndarray],
    *,
    title: str = "",
    quantity: str = "velocity",
    unit: str = "m/s",
) -> Figure:
    """What was achieved against the goal asked for, {label: one value a goal}; on the diagonal it is met.

    Labels are, say, "before adaptation" and "after 1 gradient step": the first is drawn hollow. Raises ValueError
    where a label has another number of values than there are goals.
    """
    picture, (axis,) = _figure(1, height=6.0)
    goals = np.asarray(goals, float)
    low, high = min(0.0, goals.min()), goals.max()
    margin = 0.05 * (high - low)
    ends = [low - margin, high + margin]
    axis.plot(ends, ends, color="0.6", linewidth=1, linestyle=BEFORE, label="goal", zorder=1)
    for i, (label, colour, marker) in enumerate(zip(achieved, cycle(LINES), cycle(MARKERS), strict=False)):
        values = np.asarray(achieved[label], float)
        if values.shape != goals.shape:
            shapes = f"shape {values.shape} for goals of {goals.shape}"
            raise ValueError(f"{label!r} has values of {shapes}: give one a goal")
        face = "white" if i == 0 and len(achieved) > 1 else colour
        axis.scatter(goals, values, s=30, marker=marker, facecolor=face, edgecolor=colour, label=label, zorder=2 + i)
    axis.set(xlabel=f"goal {quantity} ({unit})", ylabel=f"achieved {quantity} ({unit})", xlim=ends)
    if title:
        axis.set_title(title, fontsize="medium")
    _legend(picture, axis)
    return picture


def accuracy_figure(curves: Sequence[Curve], *, title: str = "") -> Figure:
    """The accuracy of each method with its interval, the best on top: before adaptation (hollow) and at the end.

    A method without gradient steps has one entry, after it has read the support.
    """
    picture, (axis,) = _figure(1, height=1.2 + 0.24 * len(curves))
    for place, curve in enumerate(sorted(curves, key=lambda curve: curve.value[-1])):
        value, low, high = (float(values[-1]) for values in (curve.value, curve.low, curve.high))
        axis.errorbar(value, place, xerr=[[value - low], [high - value]], fmt="o", color=LINES[0], capsize=2)
        if len(curve.value) > 1:
            axis.plot(curve.value[0], place, "o", markerfacecolor="white", markeredgecolor=LINES[0])
    axis.set_yticks(range(len(curves)), [c.label for c in sorted(curves, key=lambda curve: curve.value[-1])])
    axis.set(xlabel="accuracy (hollow: before adaptation)")
    axis.grid(axis="x", color="0.9")
    if title:
        axis.set_title(title, fontsize="medium")
    return picture


def save(picture: Figure, out: Path) -> None:
    """Write `picture` to `out`, a .png, .pdf or .svg. ValueError for another kind, or where its folder is missing."""
    write_picture(picture, check_output(out, SUFFIXES))


def _figure(panels: int, *, height: float) -> tuple[Figure, list[Axes]]:
    """A figure of `panels` side by side, on one scale of scores."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise ValueError('pictures need matplotlib: pip install "metarl-torch[plot]"') from None
    picture = Figure(figsize=(8, height), layout="constrained")
    FigureCanvasAgg(picture)
    axes = list(picture.subplots(1, panels, squeeze=False, sharey=True)[0])
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis="y", color="0.9")
        axis.set_axisbelow(True)
    return picture, axes


def _logarithmic(axis: Axes) -> None:
    from matplotlib.ticker import LogLocator, NullLocator

    axis.set_yscale("log")
    low, high = axis.get_ylim()
    ratio = high / low
    subs = (1, 1.5, 2, 3, 4, 5, 6, 8) if ratio <= 10 else (1, 2, 3, 5) if ratio <= 1000 else (1,)  # labels fit
    axis.yaxis.set_major_locator(LogLocator(subs=subs))
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_locator(NullLocator())


def _engineering(axis: Axes) -> None:
    from matplotlib.ticker import EngFormatter

    axis.xaxis.set_major_formatter(EngFormatter(sep=""))


def _legend(picture: Figure, axis: Axes) -> None:
    """The legend below everything, where no line is."""
    handles, labels = axis.get_legend_handles_labels()
    longest = max(map(len, labels))
    columns = min(len(labels), 4 if longest <= 16 else 3 if longest <= 24 else 2)
    picture.legend(handles, labels, loc="outside lower center", frameon=False, ncols=columns)
