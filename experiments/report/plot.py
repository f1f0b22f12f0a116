"""Plots of runs: learning curves beside the score after 0 … K gradient steps, as .png, .pdf or .svg."""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Sequence
from itertools import pairwise
from math import isfinite
from pathlib import Path
from statistics import fmean
from textwrap import fill
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from metarl.experiments.report.compare import Row, rows_of
from metarl.experiments.report.evaluated import FREE, Evaluation, read_evaluation, settings_of
from metarl.experiments.report.groups import Group, grouped
from metarl.experiments.report.output import check_output
from metarl.experiments.report.stored import Stored
from metarl.files import atomic_write
from metarl.run.folder import CONFIG, RunFolder
from metarl.run.pretrained import resolve_run
from metarl.run.progress import read_progress

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".pdf", ".svg")
# Okabe and Ito's colours, told apart by the colour-blind, without the yellow that white paper swallows.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MANY = (*COLOURS, "#8C564B", "#808080")  # brown and grey as well
BEFORE, RANDOM = (0, (4, 1.5)), ":"  # line styles
DPI = 150
ROWS = 50  # curves of more rows than twice this are smoothed by a running mean
GAP = 0.055  # between two labels, at least, in heights of the axes
GRID = 400  # points of a curve that is averaged over seeds with rows at other places
MARGIN = 28  # letters of a label's line
SCORE = re.compile(r"(return|accuracy|loss)_(\d+)")


class Run(NamedTuple):
    """What a run folder has to show."""

    source: Path
    preset: str
    settings: dict[str, Any]  # "learner.lr": [0.1], …, those that change what is learned
    seed: int
    metric: str  # "return", "accuracy" or "loss"
    iterations: list[float]
    env_steps: list[float]  # 0 in supervised runs
    scores: dict[int, list[float]]  # gradient steps → score at each of `iterations`
    evaluation: Evaluation | None


def plot_runs(run_folders: Sequence[Path], out: Path) -> None:
    """Plot the runs in `run_folders` into the picture `out`; evaluation.json in a folder brings a second panel.

    A trained initialisation that comes with the package, "pretrained:NAME", stands for its run folder. Seeds of one
    preset with equal settings are pooled. Raises ValueError for a folder that is no run folder or has no rows yet, for
    runs with different metrics, for a seed given twice, for an `out` of another kind or without a folder, and without
    matplotlib.
    """
    out = check_output(out, SUFFIXES)
    if not run_folders:
        raise ValueError("nothing to plot: give one or more run folders")
    write_picture(figure(grouped([read_run(path) for path in run_folders])), out)


def write_picture(picture: Figure, out: Path) -> None:
    """Write `picture` to the file `out`, of a kind in `SUFFIXES`."""
    drawn = io.BytesIO()  # on a full disk Matplotlib's PDFs fail with an error of their own making
    picture.savefig(drawn, format=out.suffix[1:].lower(), dpi=DPI)
    with atomic_write(out) as path:
        path.write_bytes(drawn.getvalue())


def read_run(path: Path) -> Run:
    """The run in the folder `path`, or "pretrained:NAME"; its newest checkpoint tells where progress.csv is gone."""
    path = resolve_run(path)
    folder, config = RunFolder.open(path), path / CONFIG
    preset = folder.config["preset"]
    settings = settings_of(Stored(config, remedy="restore it or train again"), preset)
    progress = path / "progress.csv"
    if not os.path.lexists(progress) and folder.checkpoints():
        progress = folder.newest() / progress.name
    rows = read_progress(progress) if os.path.lexists(progress) else []
    if not rows:
        raise ValueError(f"{path} has no rows of progress yet: train for longer")
    found = [match for match in map(SCORE.fullmatch, rows[0]) if match]
    try:
        columns = {name: [float(row[name]) for row in rows] for name in rows[0]}
        scores = {int(match[2]): columns[match[0]] for match in found}
        metric = found[0][1] if 0 in scores else ""
        iterations, env_steps = columns["iteration"], columns["env_steps"]
    except (ValueError, KeyError) as error:
        raise ValueError(f"{progress} is damaged ({error}): restore it or train again") from None
    if not metric:
        raise ValueError(f"{progress} has no column return_0, accuracy_0 or loss_0: restore it or train again")
    evaluation = read_evaluation(path) if os.path.lexists(path / "evaluation.json") else None
    if evaluation is not None and evaluation.metric != metric:
        raise ValueError(
            f"{evaluation.source} scores {evaluation.metric} and {progress} {metric}: write it anew by "
            f"`metarl evaluate {path} --json {evaluation.source}`"
        )
    learned = {name: value for name, value in settings.items() if name not in FREE}
    return Run(path, preset, learned, settings["seed"], metric, iterations, env_steps, scores, evaluation)


def figure(groups: Sequence[Group[Run]]) -> Figure:
    """The figure of `groups`, one colour each: progress on the left, adaptation on the right where a run has it."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.ticker import LogLocator, NullLocator
    except ImportError:
        raise ValueError('plots need matplotlib: pip install "metarl-torch[plot]"') from None

    runs = [run for group in groups for run in group.runs]
    if len(metrics := {run.metric for run in runs}) > 1:
        raise ValueError(f"these runs score {' and '.join(sorted(metrics))}, which share no axis: plot them apart")
    evaluated = any(run.evaluation for run in runs)
    picture = Figure(figsize=(12, 5) if evaluated else (8, 5), layout="constrained")
    FigureCanvasAgg(picture)
    axes = picture.subplots(1, 1 + evaluated, squeeze=False)[0]
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis="y", color="0.9")
        axis.set_axisbelow(True)
        if runs[0].metric == "loss":
            axis.set_yscale("log")
            axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
            axis.yaxis.set_major_formatter("{x:g}")
            axis.yaxis.set_minor_locator(NullLocator())
        axis.set_ylabel(f"mean {runs[0].metric}")
    colours = _colours(len(groups))
    draw_progress(axes[0], groups, colours)
    if evaluated:
        draw_adaptation(axes[1], groups, colours)
    if len(groups) == 1:
        name = runs[0].source.resolve().name if len(runs) == 1 else f"{len(runs)} seeds"
        picture.suptitle(f"{groups[0].preset} ({name})", fontsize="large")
    return picture


def draw_progress(axis: Axes, groups: Sequence[Group[Run]], colours: Sequence[Any]) -> None:
    """Scores before (dashed) and after adaptation (solid), against environment steps or, without them, iterations.

    Lines are means over the seeds of a group, bands reach from the lowest to the highest seed.
    """
    from matplotlib.ticker import EngFormatter

    runs = [run for group in groups for run in group.runs]
    simulated = all(run.env_steps[-1] > 0 for run in runs)
    last = {max(run.scores) for run in runs}
    after = f"after {gradient_steps(last.pop())}" if len(last) == 1 else "after adaptation"
    window = max(1, max(len(run.iterations) for run in runs) // ROWS)
    ends = []
    for group, colour in zip(groups, colours, strict=True):
        k = max(group.runs[0].scores)
        for steps, style, width, label in ((0, BEFORE, 1.0, "before adaptation"), (k, "-", 1.6, after))[: 1 + (k > 0)]:
            x, scores = pooled(group.runs, steps, simulated=simulated, window=window)
            axis.plot(x, scores.mean(axis=0), color=colour, linewidth=width, linestyle=style, label=label)
            if len(group.runs) > 1:
                low, high = scores.min(axis=0), scores.max(axis=0)
                axis.fill_between(x, low, high, color=colour, alpha=0.15 if steps else 0.06, linewidth=0)
        ends.append((x[-1], scores.mean(axis=0)[-1]))
    axis.set_xlabel("environment steps" if simulated else "iterations")
    axis.xaxis.set_major_formatter(EngFormatter(sep=""))
    notes = ["training", f"running mean of {window} rows" if window > 1 else ""]
    notes.append("bands: lowest to highest seed" if len(runs) > len(groups) else "")
    axis.set_title(", ".join(filter(None, notes)), fontsize="medium")
    _explain(axis, single=len(groups) == 1)
    if len(groups) > 1:
        _label_ends(axis, [_label(group) for group in groups], ends, colours)


def draw_adaptation(axis: Axes, groups: Sequence[Group[Run]], colours: Sequence[Any]) -> None:
    """Evaluations: mean scores after 0 … K steps with their 95 % intervals, as `metarl compare` has them.

    Dotted is a random initialisation, that of the first method on each task, in its colour.
    """
    from matplotlib.ticker import MaxNLocator

    tasks: dict[str, list[tuple[Group[Evaluation], Any]]] = {}  # groups and their colours
    for group, colour in zip(groups, colours, strict=True):
        found: dict[str, list[Evaluation]] = {}
        for evaluation in (run.evaluation for run in group.runs if run.evaluation is not None):
            found.setdefault(json.dumps(evaluation.task, sort_keys=True), []).append(evaluation)
        for task, several in found.items():
            tasks.setdefault(task, []).append((Group(group.name, group.preset, group.settings, tuple(several)), colour))
    lines: list[tuple[Row, Any]] = []
    for pairs in tasks.values():
        trained, random = rows_of([group for group, _ in pairs])
        lines += zip((*trained, random[0]), (*(colour for _, colour in pairs), pairs[0][1]), strict=True)
    for row, colour in lines:
        mean, low, high = zip(*row.mean, strict=True)
        style, label = (RANDOM, "random initialisation") if row.random else ("-", "trained")
        steps, shade = range(len(mean)), min(0.18, 0.5 / len(lines))  # many bands lie on each other
        axis.plot(steps, mean, color=colour, linewidth=1.6, linestyle=style, marker="o", markersize=4, label=label)
        axis.fill_between(steps, low, high, color=colour, alpha=shade / 2 if row.random else shade, linewidth=0)
    axis.set_xlabel("gradient steps")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    counts = {group.runs[0].tasks for pairs in tasks.values() for group, _ in pairs}
    count = f"{counts.pop()} " if len(counts) == 1 else ""
    axis.set_title(f"adaptation to {count}held-out tasks, 95 % intervals", fontsize="medium")
    _explain(axis, single=len(groups) == 1)


def pooled(
    runs: Sequence[Run], steps: int, *, simulated: bool, window: int
) -> tuple[Sequence[float] | np.ndarray, np.ndarray]:
    """Scores after `steps` gradient steps in training, smoothed, where all `runs` are: x [n], scores [runs, n]."""
    curves = [(run.env_steps if simulated else run.iterations, running_mean(run.scores[steps], window)) for run in runs]
    if all(x == curves[0][0] for x, _ in curves):
        return curves[0][0], np.stack([y for _, y in curves])
    x = np.linspace(max(x[0] for x, _ in curves), min(x[-1] for x, _ in curves), GRID)
    return x, np.stack([np.interp(x, *curve) for curve in curves])


def gradient_steps(k: int) -> str:
    """`k` gradient steps in words."""
    return f"{k} gradient step{'' if k == 1 else 's'}"


def running_mean(values: Sequence[float], window: int) -> list[float]:
    """The mean of each value and the up to `window` − 1 before it."""
    return [fmean(values[max(0, i + 1 - window) : i + 1]) for i in range(len(values))]


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


def _colours(count: int) -> list[Any]:
    import matplotlib

    if count <= len(MANY):
        return list(MANY[:count])
    return [matplotlib.colormaps["viridis"](i / count) for i in range(count)]


def _explain(axis: Axes, *, single: bool) -> None:
    """A legend of line styles below the axes: each once, in grey where there are several colours."""
    unique = {str(line.get_label()): line for line in reversed(axis.get_lines())}
    handles, labels = list(unique.values())[::-1], list(unique)[::-1]
    legend = axis.legend(handles, labels, frameon=False, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.12))
    for handle in legend.get_lines():
        if not single:
            handle.set_color("0.35")


def _label(group: Group[Run]) -> str:
    """The group's name, in lines that are not too long for a margin."""
    seeds = f" ({len(group.runs)} seeds)" if len(group.runs) > 1 else ""
    return fill(group.name + seeds, MARGIN, break_on_hyphens=False)


def _label_ends(axis: Axes, names: Sequence[str], ends: Sequence[tuple[float, float]], colours: Sequence[Any]) -> None:
    """Write the names beside the axes, each in its colour at the height of its line's end, apart from the others."""
    axis.get_ylim()  # settles the limits that transData follows
    to_fraction = axis.transData + axis.transAxes.inverted()
    heights = [float(y) if isfinite(y := to_fraction.transform(end)[1]) else 0.0 for end in ends]
    lines = max(name.count("\n") + 1 for name in names)
    size = min(1.0, 1 / (GAP * lines * len(names)))  # smaller where they would not all fit
    for name, height, colour in zip(names, spread(heights, GAP * lines * size), colours, strict=True):
        axis.text(1.02, height, name, color=colour, transform=axis.transAxes, va="center", fontsize=10 * size)
