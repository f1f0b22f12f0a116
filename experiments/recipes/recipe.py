"""A recipe reproduces a published result: it trains presets with several seeds, evaluates and compares them.

A recipe that is started again continues from the checkpoints in its run folders. In reinforcement learning, all methods
use the same number of environment steps instead of the same number of iterations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from metarl.experiments.config.run import Config
from metarl.experiments.config.settings import Fraction, Jobs, Seed
from metarl.experiments.presets import preset
from metarl.experiments.recipes.job import Job
from metarl.experiments.recipes.pool import run_jobs
from metarl.experiments.recipes.report import write_report
from metarl.files import check_writable, write_errors
from metarl.ranges import checked


@dataclass(frozen=True)
class Recipe:
    """The presets of a task, their budget of environment steps, and published scores."""

    task: str  # the beginning of the presets' names, such as "half-cheetah-vel-2017"
    env_steps: int | None = None  # in training, for each method and seed, except for PPO and guided search; None, and
    # for these methods: determined by the preset's number of iterations
    methods: tuple[str, ...] = (
        "maml", "promp", "fomaml", "reptile", "meta-sgd", "anil", "gmps", "pretrained", "oracle",
    )  # fmt: skip
    seeds: tuple[int, ...] = (0, 1, 2)
    published: Mapping[str, Sequence[float]] = field(default_factory=dict)  # name: score after 0, 1, … gradient steps

    @checked
    def run(
        self,
        *,
        methods: Sequence[str] = (),
        seeds: Sequence[Seed] = (),
        jobs: Jobs = 1,
        fraction: Fraction = 1.0,
        runs: Path = Path("runs"),
        results: Path = Path("experiments/results"),
        data: str | None = None,
        device: torch.device,
    ) -> None:
        """Train and evaluate `methods` with `seeds` (by default, those of the recipe), and write a report.

        `jobs` runs are trained at the same time. `fraction` reduces the budget of training, and `data` is the folder of
        an image data set. Run folders are created in `runs`/TASK, tables and figures in `results`/TASK (with a
        fraction, TASK-FRACTION). If runs fail, the others are finished and reported all the same; then this raises
        ValueError, which names the runs and their errors.
        """
        if unknown := sorted(set(methods) - set(self.methods)):
            raise ValueError(f"{self.task} has no recipe for {unknown[0]!r}: choose of {', '.join(self.methods)}")
        name = self.task if fraction == 1 else f"{self.task}-{fraction:g}"
        folder = runs / name
        for made in (folder, results / name):
            with write_errors(made):
                made.mkdir(parents=True, exist_ok=True)
            check_writable(made)
        every = self.jobs(
            folder, methods=methods or self.methods, seeds=seeds or self.seeds, fraction=fraction, data=data,
            device=device,
        )  # fmt: skip
        failed = run_jobs([job for job in every if not job.is_done()], at_once=jobs)
        if evaluated := self.evaluated(folder):
            write_report(evaluated, results / name, published=self.published, device=device)
        if failed:
            errors = "; ".join(f"{run} ({error})" for run, error in failed.items())
            raise ValueError(f"{len(failed)} of {len(every)} runs in {folder} failed: {errors}")

    def jobs(
        self,
        folder: Path,
        *,
        methods: Sequence[str],
        seeds: Sequence[int],
        fraction: float = 1.0,
        data: str | None = None,
        device: torch.device,
    ) -> list[Job]:
        """The runs in `folder`: all methods with the first seed come first, to be comparable early.

        The expert of guided policy search is the oracle of the same seed, which is trained even if it is not among
        `methods`.
        """
        found: dict[Path, Job] = {}
        for seed in seeds:
            for method in methods:
                config, expert = self.config(method, seed=seed, fraction=fraction, data=data), None
                if config.algorithm.guided:
                    expert = folder / f"oracle-{seed}"
                    oracle = self.config("oracle", seed=seed, fraction=fraction, data=data)
                    job = Job(f"{self.task}-oracle", expert, oracle, device, evaluated="oracle" in methods)
                    found.setdefault(expert, job)
                    config = replace(config, algorithm=config.algorithm.but(expert=str(expert)))
                path = folder / f"{method}-{seed}"
                found.setdefault(path, Job(f"{self.task}-{method}", path, config, device, expert))
        return list(found.values())

    def evaluated(self, folder: Path) -> dict[str, list[Path]]:
        """The runs in `folder` that have been evaluated, by method and in the order of their seeds."""
        found = {
            method: [path.parent for path in sorted(folder.glob(f"{method}-[0-9]*/evaluation.json"))]
            for method in self.methods
        }
        return {method: paths for method, paths in found.items() if paths}

    def config(self, method: str, *, seed: int, fraction: float, data: str | None = None) -> Config:
        """The settings of a run. With a fraction, the GAE schedule takes as many environment steps as in a full run."""
        config = replace(preset(f"{self.task}-{method}"), seed=seed)
        if data is not None:
            config = config.with_data(data)
        iterations: float = config.iterations
        if self.env_steps is not None and not config.algorithm.fixed_length:
            iterations = self.env_steps / config.env_steps
        return replace(config, task=config.task.in_fraction(fraction), iterations=max(1, int(fraction * iterations)))
