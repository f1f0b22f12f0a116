"""Plots of runs: learning curves, and scores after 0 … K gradient steps, as .png, .pdf or .svg."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

from metarl.experiments.report.compare import Row, rows_of
from metarl.experiments.report.evaluated import Evaluation
from metarl.experiments.report.groups import Group, grouped
from metarl.experiments.report.labels import label_ends, style_legend
from metarl.experiments.report.output import check_output
from metarl.experiments.report.progress import Progress, Run, read_run
from metarl.experiments.report.style import (
    BEFORE,
    GREY,
    LINES,
    RANDOM,
    SUFFIXES,
    gradient_step_axis,
    logarithmic,
    new_figure,
    panels,
    save,
)
from metarl.experiments.selection import SMALLER_IS_BETTER

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARGIN = 28  # maximum number of characters in a line of a label


def plot_runs(run_folders: Sequence[Path], out: Path) -> None:
    """Plot the runs in `run_folders` into the file `out`, with a second panel if they contain an evaluation.json.

    "pretrained:NAME" stands for the run folder of a trained initialisation in the package. Seeds of one preset with
    equal settings are pooled. Raises ValueError for a folder that is not a run folder or has no rows of progress yet,
    for runs with different metrics, for a seed that is given twice, for an `out` that cannot be written, and if
    matplotlib is missing.
    """
    check_output(out, SUFFIXES)
    if not run_folders:
        raise ValueError("there is nothing to plot: give one or more run folders")
    save(figure(grouped([read_run(path) for path in run_folders])), out)


def figure(groups: Sequence[Group[Run]]) -> Figure:
    """A figure of `groups`, each in one colour: learning curves, and adaptation on the right if a run is evaluated."""
    runs = [run for group in groups for run in group.runs]
    progress = Progress(runs)
    evaluated = any(run.evaluation for run in runs)
    picture = new_figure(12 if evaluated else 8, 5)
    axes, colours = panels(picture, 1 + evaluated), _colours(len(groups))
    ends = draw_progress(axes[0], progress, groups, colours)
    if evaluated:
        draw_adaptation(axes[1], groups, colours)
    for axis in axes:
        style_legend(axis, single=len(groups) == 1)
        axis.set_ylabel(f"mean {progress.metric}")
        if progress.metric in SMALLER_IS_BETTER:
            logarithmic(axis)
    if len(groups) > 1:
        label_ends(axes[0], [_label(group) for group in groups], ends, colours)
    else:
        name = runs[0].source.resolve().name if len(runs) == 1 else f"{len(runs)} seeds"
        picture.suptitle(f"{groups[0].preset} ({name})", fontsize="large")
    return picture


def draw_progress(
    axis: Axes, progress: Progress, groups: Sequence[Group[Run]], colours: Sequence[Any]
) -> list[tuple[float, float]]:
    """Draw scores before (dashed) and after adaptation (solid) against environment steps or iterations.

    Lines are means over the seeds of a group, and bands extend from the lowest to the highest seed. Returns the end of
    the last line of each group.
    """
    ends = []
    for group, colour in zip(groups, colours, strict=True):
        line: dict[str, Any] = {"color": colour, "linestyle": BEFORE, "linewidth": 1.0, "label": "before adaptation"}
        end = progress.draw(axis, group.runs, 0, shade=0.06, **line)
        if k := max(group.runs[0].scores):
            line |= {"linestyle": "-", "linewidth": 1.6, "label": progress.adapted}
            end = progress.draw(axis, group.runs, k, shade=0.15, **line)
        ends.append(end)
    progress.label(axis)
    bands = any(len(group.runs) > 1 for group in groups)
    axis.set_title(", ".join(["training", *progress.notes(bands=bands)]), fontsize="medium")
    return ends


def draw_adaptation(axis: Axes, groups: Sequence[Group[Run]], colours: Sequence[Any]) -> None:
    """Draw mean scores after 0 … K gradient steps with 95 % intervals, which are those of `metarl compare`.

    The random initialisation of the first method on each task is dotted, in the colour of that method.
    """
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
        steps, shade = range(len(mean)), min(0.18, 0.5 / len(lines))  # lighter if many bands overlap
        axis.plot(steps, mean, color=colour, linewidth=1.6, linestyle=style, marker="o", markersize=4, label=label)
        axis.fill_between(steps, low, high, color=colour, alpha=shade / 2 if row.random else shade, linewidth=0)
    gradient_step_axis(axis)
    counts = {group.runs[0].tasks for pairs in tasks.values() for group, _ in pairs}
    count = f"{counts.pop()} " if len(counts) == 1 else ""
    axis.set_title(f"adaptation to {count}held-out tasks, 95 % intervals", fontsize="medium")


def _colours(count: int) -> list[Any]:
    many = (*LINES, GREY)
    if count <= len(many):
        return list(many[:count])
    import matplotlib

    return [matplotlib.colormaps["viridis"](i / count) for i in range(count)]


def _label(group: Group[Run]) -> str:
    """The group's name, in lines of at most `MARGIN` characters."""
    seeds = f" ({len(group.runs)} seeds)" if len(group.runs) > 1 else ""
    return fill(group.name + seeds, MARGIN, break_on_hyphens=False)
