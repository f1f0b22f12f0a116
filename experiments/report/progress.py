"""Learning curves: scores in training are read from run folders, pooled over seeds and drawn."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from metarl.experiments.report.evaluated import EVALUATION, INCIDENTAL, Evaluation, read_evaluation, settings_of
from metarl.experiments.report.labels import gradient_steps
from metarl.experiments.report.stored import Stored
from metarl.run.folder import CONFIG, RunFolder
from metarl.run.pretrained import resolve_run
from metarl.run.progress import read_progress

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROWS = 50  # curves with more than twice as many rows are smoothed by a running mean
GRID = 400  # number of points of a curve that is averaged over seeds with different rows
SCORE = re.compile(r"(return|accuracy|loss)_(\d+)")


class Run(NamedTuple):
    """The progress and, if it exists, the evaluation in a run folder."""

    source: Path
    preset: str
    settings: dict[str, Any]  # those that are part of the method: "learner.lr": [0.1], …
    seed: int
    metric: str  # "return", "accuracy" or "loss"
    iterations: list[float]
    env_steps: list[float]  # 0 in supervised runs
    scores: dict[int, list[float]]  # gradient steps → score at each of `iterations`
    evaluation: Evaluation | None


class Progress:
    """The learning curves of `runs` with a common x-axis (environment steps or iterations) and smoothing.

    Raises ValueError for runs with different metrics.
    """

    def __init__(self, runs: Sequence[Run]) -> None:
        if len(metrics := {run.metric for run in runs}) > 1:
            raise ValueError(f"these runs have the metrics {' and '.join(sorted(metrics))}: draw them separately")
        self.metric = runs[0].metric
        self.simulated = all(run.env_steps[-1] > 0 for run in runs)
        self.window = max(1, max(len(run.iterations) for run in runs) // ROWS)
        steps = {max(run.scores) for run in runs} - {0}
        self.adapted = f"after {gradient_steps(steps.pop())}" if len(steps) == 1 else "after adaptation"

    def notes(self, *, bands: bool) -> list[str]:
        """Notes that describe the curves and, if there are any, their bands."""
        smoothed = [f"running mean of {self.window} rows"] * (self.window > 1)
        return smoothed + ["bands: lowest to highest seed"] * bands

    def draw(self, axis: Axes, runs: Sequence[Run], steps: int, *, shade: float, **line: Any) -> tuple[float, float]:
        """Draw the mean of `runs` after `steps` gradient steps, and a band from the lowest to the highest.

        `shade` is the opacity of the band, and `line` the style of the line. Returns the end of the line.
        """
        x, scores = self.pooled(runs, steps)
        mean = scores.mean(axis=0)
        axis.plot(x, mean, **line)
        if len(runs) > 1:
            axis.fill_between(x, scores.min(axis=0), scores.max(axis=0), color=line["color"], alpha=shade, linewidth=0)
        return float(x[-1]), float(mean[-1])

    def pooled(self, runs: Sequence[Run], steps: int) -> tuple[Sequence[float] | np.ndarray, np.ndarray]:
        """The x-axis [n] and the smoothed scores [runs, n] after `steps` gradient steps, as far as all `runs` reach."""
        curves = [
            (run.env_steps if self.simulated else run.iterations, running_mean(run.scores[steps], self.window))
            for run in runs
        ]
        if all(x == curves[0][0] for x, _ in curves):
            return curves[0][0], np.stack([y for _, y in curves])
        x = np.linspace(max(x[0] for x, _ in curves), min(x[-1] for x, _ in curves), GRID)
        return x, np.stack([np.interp(x, *curve) for curve in curves])

    def label(self, axis: Axes) -> None:
        """Label the x-axis."""
        from matplotlib.ticker import EngFormatter

        axis.set_xlabel("environment steps" if self.simulated else "iterations")
        axis.xaxis.set_major_formatter(EngFormatter(sep=""))


def read_run(path: Path) -> Run:
    """Read the run in the folder `path` or "pretrained:NAME". Without a progress.csv, that of the newest checkpoint."""
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
    evaluation = read_evaluation(path) if os.path.lexists(path / EVALUATION) else None
    if evaluation is not None and evaluation.metric != metric:
        raise ValueError(
            f"the metric of {evaluation.source} is {evaluation.metric}, that of {progress} is {metric}: evaluate again "
            f"by `metarl evaluate {path} --json {evaluation.source}`"
        )
    learned = {name: value for name, value in settings.items() if name not in INCIDENTAL}
    return Run(path, preset, learned, settings["seed"], metric, iterations, env_steps, scores, evaluation)


def running_mean(values: Sequence[float], window: int) -> list[float]:
    """The running mean of `values`: of each value and the `window` − 1 values before it, if there are as many."""
    return [fmean(values[max(0, i + 1 - window) : i + 1]) for i in range(len(values))]
