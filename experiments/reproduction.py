"""The command `metarl reproduce`, which runs the recipe of a published result."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from metarl.experiments.commands import Command
from metarl.experiments.config.settings import Device, Fraction, Jobs, Seed


@dataclass(frozen=True)
class Reproduce(Command):
    """Reproduce a published result: train, evaluate and compare its methods. A repeated command continues the runs."""

    task: tyro.conf.Positional[str]
    """beginning of the names of presets, such as half-cheetah-vel-2017; for an unknown one, all tasks are listed"""
    methods: tuple[str, ...] = ()
    """methods that are trained; default: all methods of the recipe"""
    seeds: tuple[Seed, ...] = ()
    """seeds of training; default: the seeds of the recipe"""
    jobs: Jobs = 1
    """number of runs that are trained at the same time, in processes among which the cores are divided"""
    fraction: Fraction = 1.0
    """fraction of the budget of training, for a quick look"""
    runs: Path = Path("runs")
    """folder in which the run folders are created"""
    results: Path = Path("experiments/results")
    """folder in which tables and plots are written"""
    data: str | None = None
    """folder of the image data set; default: the environment variable METARL_DATA or, if not set, the user's cache"""
    device: Device = "auto"
    """device of torch; auto: a GPU if there is one"""

    def run(self) -> None:
        from metarl.experiments.recipes.table import RECIPES
        from metarl.experiments.runner import pick_device

        if self.task not in RECIPES:
            raise ValueError(f"there is no recipe for {self.task!r}: choose one of {', '.join(RECIPES)}")
        RECIPES[self.task].run(
            methods=self.methods, seeds=self.seeds, jobs=self.jobs, fraction=self.fraction, runs=self.runs,
            results=self.results, data=self.data, device=pick_device(self.device),
        )  # fmt: skip
