"""Auto-Meta: search for the cell of a few-shot classifier's net (Kim et al. 2018).

`python -m metarl.experiments.auto_meta PRESET FILE [--data DIR]` trains PRESET, which ends in -auto-meta, with each
cell that the search asks for, and writes the cells and their accuracies on validation tasks into FILE. The default
sizes take some twenty minutes on one core with omniglot-small-5way-1shot-auto-meta.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro

from metarl.cell_search import search
from metarl.evaluation import evaluate
from metarl.experiments import runner
from metarl.experiments.cli import guarded
from metarl.experiments.config.run import Config
from metarl.experiments.config.settings import Seed
from metarl.experiments.presets import preset
from metarl.files import write_text
from metarl.nets.cells import Cell, format_cell
from metarl.ranges import Count, Settings
from metarl.train import Stream, generator


@dataclass(frozen=True)
class Arguments(Settings):
    """Search for the cell of a few-shot classifier's net."""

    preset: Annotated[str, tyro.conf.Positional]
    """a preset that ends in -auto-meta"""
    file: Annotated[Path, tyro.conf.Positional]
    """JSON file of the results"""
    data: str | None = None
    """folder of the data set"""
    iterations: Count = 60
    """number of iterations of training with each cell"""
    meta_batch: Count = 4
    """number of tasks per iteration"""
    filters: Count = 16
    """number of filters of each convolution in the search; trained further, a net may have more"""
    blocks: Count = 3
    """maximum number of blocks of a cell"""
    first: Count = 16
    """number of cells of one block that are trained"""
    beam: Count = 8
    """number of larger cells of each size that are trained"""
    seed: Seed = 0
    """seed of the choice of the first cells, and of every training"""

    def check_together(self) -> None:
        if not self.preset.endswith("-auto-meta"):
            raise ValueError(f"preset is {self.preset}: give one that ends in -auto-meta")


def accuracy(config: Config, cell: Cell) -> float:
    """The mean accuracy on validation tasks, after the inner steps, of a learner trained with this cell."""
    config = replace(config, learner=config.learner.but(cell=format_cell(cell)))
    training, _ = runner.new_training(config, torch.device("cpu"))
    for _ in training.updates(0):
        pass
    steps, tasks = training.learner.steps, config.distribution(torch.device("cpu"), split="validation")
    scores = evaluate(
        training.learner, tasks, steps=steps, num_tasks=config.validation_tasks, at=(steps,), chunk=config.chunk,
        rng=generator(Stream.VALIDATE, config.seed),
    )  # fmt: skip
    return float(scores.mean())


def run(arguments: Arguments) -> None:
    """Search, print each score, and write all of them into the file, the best first."""
    config = preset(arguments.preset).with_data(arguments.data)
    config = replace(
        config, learner=config.learner.but(filters=arguments.filters), meta_batch=arguments.meta_batch,
        iterations=arguments.iterations, seed=arguments.seed,
    )  # fmt: skip
    begin = time.perf_counter()

    def score(cell: Cell) -> float:
        found = accuracy(config, cell)
        print(f"{time.perf_counter() - begin:6.0f} s  {found:.4f}  {format_cell(cell)}", file=sys.stderr)
        return found

    rng = np.random.default_rng(arguments.seed)
    found = search(score, blocks=arguments.blocks, beam=arguments.beam, first=arguments.first, rng=rng)
    rows = [{"cell": format_cell(cell), "accuracy": value} for cell, value in found]
    write_text(arguments.file, json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    guarded(lambda: run(tyro.cli(Arguments)))
