"""A recipe reproduces a published result: it trains presets with several seeds, evaluates and compares them.

A recipe that is started again continues from the checkpoints in its run folders. In reinforcement learning, all methods
use the same number of environment steps instead of the same number of iterations.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from metarl.experiments import runner
from metarl.experiments.config.run import Config
from metarl.experiments.config.settings import Fraction, Seed
from metarl.experiments.evaluation import evaluate_run
from metarl.experiments.presets import preset
from metarl.experiments.recipes.report import write_report
from metarl.experiments.report.stored import write_stored
from metarl.files import check_writable, write_errors
from metarl.ranges import checked
from metarl.run.folder import RunFolder
from metarl.run.load import load_options, resume


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
        fraction: Fraction = 1.0,
        runs: Path = Path("runs"),
        results: Path = Path("experiments/results"),
        data: str | None = None,
        device: torch.device,
    ) -> None:
        """Train and evaluate `methods` with `seeds` (by default, those of the recipe), and write a report.

        `fraction` reduces the budget of training, and `data` is the folder of an image data set. Run folders are
        created in `runs`/TASK, tables and figures in `results`/TASK (with a fraction, TASK-FRACTION).
        """
        if unknown := sorted(set(methods) - set(self.methods)):
            raise ValueError(f"{self.task} has no recipe for {unknown[0]!r}: choose of {', '.join(self.methods)}")
        name = self.task if fraction == 1 else f"{self.task}-{fraction:g}"
        folder = runs / name
        for made in (folder, results / name):
            with write_errors(made):
                made.mkdir(parents=True, exist_ok=True)
            check_writable(made)
        for seed in seeds or self.seeds:  # all methods with the first seed come first, to be comparable early
            for method in methods or self.methods:
                path = folder / f"{method}-{seed}"
                config = self.config(method, seed=seed, fraction=fraction, data=data)
                if config.algorithm.guided:  # its expert is the oracle of the same seed
                    expert = folder / f"oracle-{seed}"
                    self.train(expert, self.config("oracle", seed=seed, fraction=fraction), device=device)
                    config = replace(config, algorithm=config.algorithm.but(expert=str(expert)))
                self.train(path, config, device=device)
                self.evaluate(path, device=device, data=config.task.data)
        write_report(self.evaluated(folder), results / name, published=self.published, device=device)

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

    def train(self, path: Path, config: Config, *, device: torch.device) -> None:
        """Train until the end of the budget, and continue from the newest checkpoint if the run in `path` has one."""
        data = config.task.data
        method = path.name.rpartition("-")[0]
        if not (path / "config.json").exists():
            print(f"{path}: {config.iterations} iterations", file=sys.stderr)
            runner.start(f"{self.task}-{method}", config, path, device=device)
            return
        run = RunFolder.open(path)
        made = replace(runner.settings(run).with_data(data), torch_threads=0)
        wanted = replace(config.with_data(data), torch_threads=0)
        if made != wanted:
            raise ValueError(f"{path} was made with other settings than the recipe's: move it, or choose other --runs")
        checkpoints = run.checkpoints()
        if not checkpoints or checkpoints[-1] < config.iterations:
            resume(path, **load_options(device, data))

    def evaluate(self, path: Path, *, device: torch.device, data: str | None = None) -> None:
        """Evaluate the best checkpoint on validation tasks with the test tasks, and write evaluation.json."""
        file = path / "evaluation.json"
        if not file.exists():
            print(f"{path}: choosing the checkpoint on validation tasks, testing it", file=sys.stderr)
            write_stored(evaluate_run(path, checkpoint="best", device=device, data=data), file)
