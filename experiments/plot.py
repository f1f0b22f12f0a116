"""Plots of runs: learning curves beside the score after 0 … K gradient steps, as .png, .pdf or .svg."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from itertools import pairwise
from math import isfinite
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple

from metarl.experiments.evaluated import Evaluation, read_evaluation
from metarl.experiments.output import check_output
from metarl.files import written
from metarl.run.folder import RunFolder
from metarl.run.progress import read_progress

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".pdf", ".svg")
# Okabe and Ito's colours, told apart by the colour-blind, without the yellow that white paper swallows.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
BEFORE, RANDOM = (0, (4, 1.5)), ":"  # line styles
DPI = 150
ROWS = 50  # curves of more rows than twice this are smoothed by a running mean
GAP = 0.055  # between two labels, at least, in heights of the axes
SCORE = re.compile(r"(return|accuracy|loss)_(\d+)")


class Run(NamedTuple):
    """What a run folder has to show."""

    name: str  # of the folder
    preset: str
    metric: str  # "return", "accuracy" or "loss"
    iterations: list[float]
    env_steps: list[float]  # 0 in supervised runs
    scores: dict[int, list[float]]  # gradient steps → score at each of `iterations`
    evaluation: Evaluation | None


def plot_runs(run_folders: Sequence[Path], out: Path) -> None:
    """Plot the runs in `run_folders` into the picture `out`; evaluation.json in a folder brings a second panel.

    Raises ValueError for a folder that is no run folder or has no rows yet, for runs with different metrics, for an
    `out` of another kind or without a folder, and without matplotlib.
    """
    out = check_output(out, SUFFIXES)
    if not run_folders:
        raise ValueError("nothing to plot: give one or more run folders")
    runs = [read_run(path) for path in run_folders]
    if len({run.name for run in runs}) < len(runs):
        runs = [run._replace(name=str(path)) for run, path in zip(runs, run_folders, strict=True)]
    write_picture(figure(runs), out)


def write_picture(picture: Figure, out: Path) -> None:
    """Write `picture` to the file `out`, of a kind in `SUFFIXES`."""
    drawn = io.BytesIO()  # on a full disk Matplotlib's PDFs fail with an error of their own making
    picture.savefig(drawn, format=out.suffix[1:].lower(), dpi=DPI)
    with written(out) as path:
        path.write_bytes(drawn.getvalue())


def read_run(path: Path) -> Run:
    """The run in the folder `path`."""
    preset = RunFolder.open(path).config["preset"]
    progress = path / "progress.csv"
    rows = read_progress(progress) if progress.exists() else []
    if not rows:
        raise ValueError(f"{path} has no rows of progress yet: train for longer")
    found = [match for match in map(SCORE.fullmatch, rows[0]) if match]
    try:
        columns = {name: [float(row[name]) for row in rows] for name in rows[0]}
        scores = {int(match[2]): columns[match[0]] for match in found}
        metric = found[0][1] if 0 in scores else ""
        iterations, env_steps = columns["iteration"], columns["env_steps"]
    except (ValueError, KeyError) as error:
        raise ValueError(f"{progress} is damaged ({error}): restore it or train anew") from None
    if not metric:
        raise ValueError(f"{progress} has no column return_0, accuracy_0 or loss_0: restore it or train anew")
    evaluation = read_evaluation(path) if (path / "evaluation.json").exists() else None
    if evaluation is not None and evaluation.metric != metric:
        raise ValueError(
            f"{evaluation.source} scores {evaluation.metric} and {progress} {metric}: write it anew by "
            f"`metarl evaluate {path} --json {evaluation.source}`"
        )
    name = path.resolve().name
    return Run(name, preset, metric, iterations, env_steps, scores, evaluation)


def figure(runs: Sequence[Run]) -> Figure:
    """The figure of `runs`, one colour a run: progress on the left, adaptation on the right where a run has it."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.ticker import LogLocator, NullLocator
    except ImportError:
        raise ValueError('plots need matplotlib: pip install "metarl-torch[plot]"') from None

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
    colours = _colours(len(runs))
    draw_progress(axes[0], runs, colours)
    if evaluated:
        draw_adaptation(axes[1], runs, colours)
    if len(runs) == 1:
        picture.suptitle(f"{runs[0].preset} ({runs[0].name})", fontsize="large")
    return picture


def draw_progress(axis: Axes, runs: Sequence[Run], colours: Sequence[str]) -> None:
    """Scores before (dashed) and after adaptation (solid), against environment steps or, without them, iterations."""
    from matplotlib.ticker import EngFormatter

    simulated = all(run.env_steps[-1] > 0 for run in runs)
    last = {max(run.scores) for run in runs}
    after = f"after {gradient_steps(last.pop())}" if len(last) == 1 else "after adaptation"
    window = max(1, max(len(run.iterations) for run in runs) // ROWS)
    ends = []
    for run, colour in zip(runs, colours, strict=True):
        x, k = run.env_steps if simulated else run.iterations, max(run.scores)
        if k > 0:
            before = running_mean(run.scores[0], window)
            axis.plot(x, before, color=colour, linewidth=1, linestyle=BEFORE, label="before adaptation")
        last_scores = running_mean(run.scores[k], window)
        axis.plot(x, last_scores, color=colour, linewidth=1.6, label=after if k else "before adaptation")
        ends.append((x[-1], last_scores[-1]))
    axis.set_xlabel("environment steps" if simulated else "iterations")
    axis.xaxis.set_major_formatter(EngFormatter(sep=""))
    axis.set_title("training" + (f", running mean of {window} rows" if window > 1 else ""), fontsize="medium")
    _explain(axis, single=len(runs) == 1)
    if len(runs) > 1:
        _label_ends(axis, [run.name for run in runs], ends, colours)


def draw_adaptation(axis: Axes, runs: Sequence[Run], colours: Sequence[str]) -> None:
    """Evaluations: mean score with its 95 % interval over tasks after 0 … K steps, beside a random initialisation's."""
    from matplotlib.ticker import MaxNLocator

    for run, colour in zip(runs, colours, strict=True):
        if run.evaluation is None:
            continue
        for prefix, style, label in (("", "-", "trained"), ("random_", RANDOM, "random initialisation")):
            statistics, steps = run.evaluation.statistics, run.evaluation.steps
            mean, half = statistics[f"{prefix}mean"], statistics[f"{prefix}ci95"]
            axis.plot(steps, mean, color=colour, linewidth=1.6, linestyle=style, marker="o", markersize=4, label=label)
            low = [m - h if run.metric != "loss" or m > h else m / 10 for m, h in zip(mean, half, strict=True)]
            high = [m + h for m, h in zip(mean, half, strict=True)]
            axis.fill_between(steps, low, high, color=colour, alpha=0.08 if prefix else 0.18, linewidth=0)
    axis.set_xlabel("gradient steps")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    tasks = {run.evaluation.tasks for run in runs if run.evaluation}
    count = f"{tasks.pop()} " if len(tasks) == 1 else ""
    axis.set_title(f"adaptation to {count}held-out tasks, 95 % intervals", fontsize="medium")
    _explain(axis, single=len(runs) == 1)


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

    if count <= len(COLOURS):
        return list(COLOURS[:count])
    return [matplotlib.colormaps["viridis"](i / count) for i in range(count)]


def _explain(axis: Axes, *, single: bool) -> None:
    """A legend of line styles: each once, in grey where there are several colours."""
    unique = {str(line.get_label()): line for line in reversed(axis.get_lines())}
    legend = axis.legend(list(unique.values())[::-1], list(unique)[::-1], frameon=False)
    for handle in legend.get_lines():
        if not single:
            handle.set_color("0.35")


def _label_ends(axis: Axes, names: Sequence[str], ends: Sequence[tuple[float, float]], colours: Sequence[Any]) -> None:
    """Write the names beside the axes, each in its colour at the height of its line's end."""
    axis.get_ylim()  # settles the limits that transData follows
    to_fraction = axis.transData + axis.transAxes.inverted()
    heights = [float(y) if isfinite(y := to_fraction.transform(end)[1]) else 0.0 for end in ends]
    for name, height, colour in zip(names, spread(heights, GAP), colours, strict=True):
        axis.text(1.02, height, name, color=colour, transform=axis.transAxes, va="center")
