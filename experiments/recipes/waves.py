"""The fitted curves of sinusoid regression before and after adaptation (Finn et al. 2017, figure 2)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from metarl.core import Predictor, adapt
from metarl.experiments import runner
from metarl.experiments.compare import read_evaluation
from metarl.experiments.plot import BEFORE, COLOURS, gradient_steps
from metarl.train import Stream, generator

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STEPS = (0, 1, 10)  # gradient steps of the picture
STYLES = (BEFORE, "-.", "-")
COLUMNS = 4
GRID = torch.linspace(-5, 5, 201).view(1, -1, 1)


class Wave:
    """The first test task of a run: its support, its true curve, and what was fitted after some numbers of steps."""

    def __init__(self, path: Path, *, device: torch.device, seed: int = 0) -> None:
        run, config, distribution, learner = runner.load(path, device=device)
        run.load_weights(learner, iteration=read_evaluation(path).iteration)
        task = distribution.sample(1, generator(Stream.TEST, seed))
        steps = [k for k in STEPS if k <= config.test_steps] if learner.gradient_steps else [0, 1]
        self.gradient_steps = learner.gradient_steps
        self.fits: dict[int, np.ndarray] = {}
        for k, (predict, batch) in enumerate(adapt(learner, task, steps=steps[-1])):
            if k == 0 and batch is not None:
                self.support = [part[0, :, 0].cpu().numpy() for part in batch]
            if k in steps:
                self.fits[k] = fitted(predict, device)


def fitted(predict: Predictor, device: torch.device) -> np.ndarray:
    """The curve on `GRID`; of the mean, where predictions are (mean, log-std)."""
    with torch.no_grad():
        outputs = predict(GRID.to(device))
    return (outputs[0] if isinstance(outputs, tuple) else outputs).flatten().cpu().numpy()


def waves_figure(runs: Mapping[str, Path], *, device: torch.device, title: str = "") -> Figure:
    """A panel for each of `runs`, {method: evaluated run folder}, all on the same wave and support."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = -(-len(runs) // COLUMNS)
    picture = Figure(figsize=(10, 0.6 + 2.2 * rows), layout="constrained")
    FigureCanvasAgg(picture)
    axes = picture.subplots(rows, COLUMNS, squeeze=False, sharex=True, sharey=True).flat
    grid = GRID.flatten().numpy()
    for axis, (name, path) in zip(axes, runs.items(), strict=False):
        wave = Wave(path, device=device)
        for (k, fit), style, colour in zip(wave.fits.items(), STYLES, COLOURS, strict=False):
            read = "before the support" if k == 0 else "after it"
            axis.plot(grid, fit, linestyle=style, color=colour, linewidth=1.3,
                      label=f"after {gradient_steps(k)}" if wave.gradient_steps else read)  # fmt: skip
        axis.plot(*wave.support, "^", color="0.2", markersize=6, label="support")
        axis.set_title(name, fontsize="medium")
        axis.legend(fontsize=6, frameon=False, loc="upper left")
    for axis in list(axes):
        axis.axis("off")
    picture.suptitle(title, fontsize="medium")
    return picture
