"""Scores in training: read from run folders, pooled over seeds, and drawn against environment steps or iterations."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from metarl.experiments.report.evaluated import EVALUATION, FREE, Evaluation, read_evaluation, settings_of
from metarl.experiments.report.labels import gradient_steps
from metarl.experiments.report.stored import Stored
from metarl.run.folder import CONFIG, RunFolder
from metarl.run.pretrained import resolve_run
from metarl.run.progress import read_progress

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROWS = 50  # curves of more rows than twice this are smoothed by a running mean
GRID = 400  # points of a curve that is averaged over seeds with rows at other places
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


class Progress:
    """The axes of scores in training that `runs` share: environment steps or iterations, and how they are smoothed.

    Raises ValueError for runs with different metrics.
    """

    def __init__(self, runs: Sequence[Run]) -> None:
        if len(metrics := {run.metric for run in runs}) > 1:
            raise ValueError(f"these runs score {' and '.join(sorted(metrics))}, which share no axis: draw them apart")
        self.metric = runs[0].metric
        self.simulated = all(run.env_steps[-1] > 0 for run in runs)
        self.window = max(1, max(len(run.iterations) for run in runs) // ROWS)
        steps = {max(run.scores) for run in runs} - {0}
        self.adapted = f"after {gradient_steps(steps.pop())}" if len(steps) == 1 else "after adaptation"

    def notes(self, *, bands: bool) -> list[str]:
        """What is to be said of the curves, and of their bands where there are any."""
        smoothed = [f"running mean of {self.window} rows"] * (self.window > 1)
        return smoothed + ["bands: lowest to highest seed"] * bands

    def draw(self, axis: Axes, runs: Sequence[Run], steps: int, *, shade: float, **line: Any) -> tuple[float, float]:
        """Draw the mean of `runs` after `steps` gradient steps, and a band from the lowest to the highest.

        `shade` is the opacity of the band, `line` the style of the line. Returns where the line ends.
        """
        x, scores = self.pooled(runs, steps)
        mean = scores.mean(axis=0)
        axis.plot(x, mean, **line)
        if len(runs) > 1:
            axis.fill_between(x, scores.min(axis=0), scores.max(axis=0), color=line["color"], alpha=shade, linewidth=0)
        return float(x[-1]), float(mean[-1])

    def pooled(self, runs: Sequence[Run], steps: int) -> tuple[Sequence[float] | np.ndarray, np.ndarray]:
        """Smoothed scores after `steps` gradient steps, where all `runs` have them: x [n], scores [runs, n]."""
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
    """The run in the folder `path`, or "pretrained:NAME"; its newest checkpoint tells where progress.csv is gone."""
    path = resolve_run(path)
    folder, config = RunFolder.open(path), path / CONFIG
    preset = folder.config["preset"]
    settings = settings_of(Stored(config, remedy="restore it or train anew"), preset)
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
        raise ValueError(f"{progress} is damaged ({error}): restore it or train anew") from None
    if not metric:
        raise ValueError(f"{progress} has no column return_0, accuracy_0 or loss_0: restore it or train anew")
    evaluation = read_evaluation(path) if os.path.lexists(path / EVALUATION) else None
    if evaluation is not None and evaluation.metric != metric:
        raise ValueError(
            f"{evaluation.source} scores {evaluation.metric} and {progress} {metric}: write it anew by "
            f"`metarl evaluate {path} --json {evaluation.source}`"
        )
    learned = {name: value for name, value in settings.items() if name not in FREE}
    return Run(path, preset, learned, settings["seed"], metric, iterations, env_steps, scores, evaluation)


def running_mean(values: Sequence[float], window: int) -> list[float]:
    """The mean of each value and the up to `window` − 1 before it."""
    return [fmean(values[max(0, i + 1 - window) : i + 1]) for i in range(len(values))]
