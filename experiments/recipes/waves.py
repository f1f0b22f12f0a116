"""The fitted curves of sinusoid regression before and after adaptation (Finn et al. 2017, figure 2)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch

from metarl.core import Predictor, adapt
from metarl.experiments.report.evaluated import read_evaluation
from metarl.experiments.report.labels import gradient_steps
from metarl.experiments.report.style import BEFORE, COLOURS, new_figure
from metarl.run.load import load, load_options
from metarl.tasks.sinusoid import SinusoidTasks
from metarl.train import Stream, generator

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure

STEPS = (0, 1, 10)  # numbers of gradient steps in the figure
STYLES = (BEFORE, "-.", "-")
COLUMNS = 4
CANDIDATES = 5  # number of sinusoids from which the one with the largest amplitude is chosen
GRID = torch.linspace(-5, 5, 201).view(1, -1, 1)


class Wave:
    """A test task of a run: its support, its true curve, and the fitted curves after several numbers of steps."""

    def __init__(self, path: Path, *, device: torch.device, seed: int = 0) -> None:
        trained = load(path, **load_options(device, None))
        distribution, learner = trained.tasks, trained.learner
        trained.load(read_evaluation(path).iteration)
        tasks = cast(SinusoidTasks, distribution.sample(CANDIDATES, generator(Stream.TEST, seed)))
        chosen = int(tasks.test.y.abs().amax((1, 2)).argmax())
        order = tasks.test.x[chosen, :, 0].argsort()
        self.truth = [part[chosen, order, 0].cpu().numpy() for part in tasks.test]
        steps = [k for k in STEPS if k <= trained.tests.steps] if learner.gradient_steps else [0, 1]
        self.gradient_steps = learner.gradient_steps
        self.fits: dict[int, np.ndarray] = {}
        for k, (predict, batch) in enumerate(adapt(learner, tasks, steps=steps[-1])):
            if k == 0 and batch is not None:
                self.support = [part[chosen, :, 0].cpu().numpy() for part in batch]
            if k in steps:
                self.fits[k] = fitted(predict, device)[chosen]


def fitted(predict: Predictor, device: torch.device) -> np.ndarray:
    """The predicted curves [T, 201] on `GRID`, or the means if predictions are (mean, log-std)."""
    with torch.no_grad():
        outputs = predict(GRID.to(device).expand(CANDIDATES, -1, -1))
    return (outputs[0] if isinstance(outputs, tuple) else outputs)[..., 0].cpu().numpy()


def waves_figure(runs: Mapping[str, Path], *, device: torch.device, title: str = "") -> Figure:
    """A figure with a panel for each of `runs`, {method: evaluated run folder}, for one sinusoid and its support."""
    rows = -(-len(runs) // COLUMNS)
    picture = new_figure(10, 1.0 + 2.2 * rows)
    axes = list(picture.subplots(rows, COLUMNS, squeeze=False, sharex=True, sharey=True).flat)
    lines: dict[str, Artist] = {}
    for axis, (name, path) in zip(axes, runs.items(), strict=False):
        wave = Wave(path, device=device)
        (lines["true wave"],) = axis.plot(*wave.truth, color="0.7", linewidth=3)
        (lines["support"],) = axis.plot(*wave.support, "^", color="0.2", markersize=6, zorder=3)
        for (k, fit), style, colour in zip(wave.fits.items(), STYLES, COLOURS, strict=False):
            label = f"after {gradient_steps(k)}" if k else "before the support"
            label = label if wave.gradient_steps or not k else "after the support, without gradient steps"
            colour, style = (colour, style) if wave.gradient_steps or not k else (COLOURS[3], "-")
            (lines[label],) = axis.plot(GRID.flatten().numpy(), fit, linestyle=style, color=colour, linewidth=1.3)
        axis.set_title(name, fontsize="medium")
        height = 1.4 * np.abs(wave.truth[1]).max()
        axis.set_ylim(-height, height)
    for axis in axes[len(runs) :]:
        axis.axis("off")
    picture.legend(list(lines.values()), list(lines), loc="outside lower center", frameon=False, ncols=3)
    picture.suptitle(title, fontsize="medium")
    return picture
