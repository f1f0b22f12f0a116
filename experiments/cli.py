"""The command line: metarl list | train | evaluate | compare | plot | video."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import tyro
from rich.console import Console
from rich.table import Column, Table

from metarl.experiments.config import Config
from metarl.experiments.presets import PRESETS, preset, quick

Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True)
class List:
    """List the presets."""

    def run(self) -> None:
        name_column = Column("preset", min_width=max(map(len, PRESETS)))
        table = Table(name_column, "task", "inner loop", "outer loop", "iterations")
        for name, config in PRESETS.items():
            task = getattr(config.task, "env", getattr(config.task, "images", "sinusoid"))
            outer = type(config.algorithm).__name__.removesuffix("Config")
            table.add_row(name, task, config.learner.words, outer, str(config.iterations))
        Console(width=None if sys.stdout.isatty() else 140).print(table)


@dataclass(frozen=True)
class Train:
    """Train a preset in a new run folder, or go on with a run."""

    config: Config | None
    preset: str | None = None
    out: Path | None = None
    """the new run folder; default: runs/PRESET-DATE"""
    resume: Path | None = None
    """a run folder to go on with, in place of a preset"""
    quick: bool = False
    """the same run at a size that ends within minutes on 2 cores"""
    device: Device = "auto"

    def run(self) -> None:
        from metarl.experiments import runner

        device = runner.pick_device(self.device)
        if self.resume is not None:
            runner.resume(self.resume, device=device)
            path = self.resume
        else:
            assert self.preset is not None
            assert self.config is not None
            path = self.out or Path("runs") / f"{self.preset}-{datetime.now():%Y%m%d-%H%M%S}"
            runner.start(self.preset, self.config, path, device=device)
        print(f"trained: {path}   evaluate it by: metarl evaluate {path}")


@dataclass(frozen=True)
class Evaluate:
    """Adapt a trained initialisation to held-out tasks and print the score after 0 … K gradient steps."""

    run_folder: tyro.conf.Positional[Path]
    steps: int | None = None
    """K; default: the preset's"""
    tasks: int | None = None
    """held-out tasks; default: the preset's"""
    seed: int = 0
    """of the held-out tasks and, where random, of the random initialisation"""
    checkpoint: str = "last"
    """last, a number of iterations, or best: on validation tasks, which tests never see"""
    transductive: bool = True
    """images of a query may be normalised together; --no-transductive: each with the support alone"""
    json: Path | None = None
    """a file to write the numbers to"""
    device: Device = "auto"

    def run(self) -> None:
        from metarl.experiments.evaluation import evaluate_run, write_evaluation
        from metarl.experiments.runner import pick_device

        if self.json is not None and not self.json.resolve().parent.is_dir():
            raise ValueError(f"cannot write {self.json}: its folder does not exist, make it first")
        result = evaluate_run(
            self.run_folder, steps=self.steps, tasks=self.tasks, seed=self.seed, checkpoint=self.checkpoint,
            transductive=self.transductive, device=pick_device(self.device),
        )  # fmt: skip
        table = Table("gradient steps", result["metric"], "95 %", "random initialisation", "95 %")
        columns = ("steps", "mean", "ci95", "random_mean", "random_ci95")
        for k, *values in zip(*(result[c] for c in columns), strict=True):
            mean, ci95, random_mean, random_ci95 = (float("nan") if v is None else v for v in values)
            table.add_row(str(k), f"{mean:.4g}", f"± {ci95:.2g}", f"{random_mean:.4g}", f"± {random_ci95:.2g}")
        print(f"{result['preset']} after {result['iteration']} iterations, {result['tasks']} held-out tasks")
        Console().print(table)
        if self.json is not None:
            write_evaluation(result, self.json)


@dataclass(frozen=True)
class Compare:
    """Compare evaluated runs over seeds and tasks: means and interquartile means with 95 % intervals."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """run folders with an evaluation.json, or evaluation files; seeds of one preset are pooled"""
    out: Path | None = None
    """a picture, .png, .pdf or .svg"""
    csv: Path | None = None
    json: Path | None = None

    def run(self) -> None:
        from metarl.experiments import compare, tables
        from metarl.experiments.figures import save
        from metarl.experiments.output import check_output
        from metarl.experiments.plot import SUFFIXES

        for file, suffixes in ((self.out, SUFFIXES), (self.csv, (".csv",)), (self.json, (".json",))):
            if file is not None:
                check_output(file, suffixes)
        comparison = compare.compare(self.runs)
        console = Console(width=None if sys.stdout.isatty() else 140)
        console.print(tables.table(comparison, width=console.width))
        if self.out is not None:
            save(compare.picture(comparison), self.out)
        if self.csv is not None:
            tables.write_csv(comparison, self.csv)
        if self.json is not None:
            tables.write_json(comparison, self.json)


@dataclass(frozen=True)
class Plot:
    """Plot progress, and adaptation where evaluation.json lies in a run folder."""

    run_folders: tyro.conf.Positional[tuple[Path, ...]]
    out: Path
    """the picture, .png, .pdf or .svg"""

    def run(self) -> None:
        from metarl.experiments.plot import plot_runs

        plot_runs(self.run_folders, self.out)
        print(f"plot: {self.out}")


@dataclass(frozen=True)
class Video:
    """Film a policy before and after adaptation to a task, or after adaptation to several, side by side."""

    run_folder: tyro.conf.Positional[Path]
    out: Path
    """the film, .mp4 or .gif"""
    task: tyro.conf.UseAppendAction[tuple[float, ...]] = ()
    """the goal, where it is one number; several times: several goals; default: drawn from the task distribution"""
    steps: int | None = None
    """gradient steps; default: the preset's inner steps"""
    seed: int = 0

    def run(self) -> None:
        from metarl.experiments.video import film_run

        film_run(self.run_folder, self.out, tasks=self.task, steps=self.steps, seed=self.seed)
        print(f"video: {self.out}")


@dataclass(frozen=True)
class Reproduce:
    """Train, evaluate and compare the methods of a published result, over seeds. Started again, it goes on."""

    task: tyro.conf.Positional[str]
    """presets' first words, "half-cheetah-vel-2017"; an unknown one lists all"""
    methods: tuple[str, ...] = ()
    """default: all of the recipe's"""
    seeds: tuple[int, ...] = ()
    """default: the recipe's"""
    fraction: float = 1.0
    """of the budget, for a quick look"""
    runs: Path = Path("runs")
    results: Path = Path("experiments/results")
    """where tables and pictures go"""
    data: str | None = None
    """the folder of an image data set; default: METARL_DATA, or the user's cache"""
    device: Device = "auto"

    def run(self) -> None:
        from metarl.experiments.recipes import RECIPES
        from metarl.experiments.runner import pick_device

        if self.task not in RECIPES:
            raise ValueError(f"no recipe for {self.task!r}: choose one of {', '.join(RECIPES)}")
        RECIPES[self.task].run(
            methods=self.methods, seeds=self.seeds, fraction=self.fraction, runs=self.runs, results=self.results,
            data=self.data, device=pick_device(self.device),
        )  # fmt: skip


Command = List | Train | Evaluate | Compare | Plot | Video | Reproduce
COMMANDS: dict[str, type[Any]] = {c.__name__.lower(): c for c in get_args(Command)}
USAGE = """metarl: meta-learning and meta-reinforcement-learning

  metarl list                                     the presets
  metarl train PRESET [--quick] [--out DIR] …     train (metarl train PRESET --help: all settings)
  metarl train --resume DIR                       go on with a run
  metarl evaluate DIR [--steps K] [--json FILE]   score on held-out tasks after 0 … K gradient steps
  metarl compare DIR… [--out FILE.png] [--csv FILE] [--json FILE]
                                                  evaluated runs: seeds pooled, means with intervals
  metarl plot DIR… --out FILE.png                 learning curves and adaptation
  metarl video DIR --out FILE.mp4|gif             before and after adaptation, side by side
  metarl reproduce TASK [--fraction F]            a published result: all its methods and seeds, tables and pictures
"""


@dataclass(frozen=True)
class _TrainOptions:
    """Options of `metarl train` that are not settings of the experiment."""

    out: Path | None = None
    resume: Path | None = None
    quick: bool = False
    device: Device = "auto"


def parse(args: Sequence[str]) -> Command:
    """The command that `args` spell."""
    name, rest = args[0], list(args[1:])
    if name not in COMMANDS:
        raise ValueError(f"unknown command {name!r}: choose one of {', '.join(COMMANDS)}")
    if name != "train":
        return tyro.cli(COMMANDS[name], args=rest, prog=f"metarl {name}")
    return _parse_train(rest)


def _parse_train(args: list[str]) -> Train:
    named = args[0] if args and not args[0].startswith("-") else None
    settings = args[1:] if named else args
    if named is None:
        options, unknown = tyro.cli(_TrainOptions, args=settings, prog="metarl train", return_unknown_args=True)
        if options.resume is None:
            raise ValueError("metarl train needs a preset, or --resume DIR: `metarl list` shows the presets")
        if unknown or options.out or options.quick:
            raise ValueError("--resume goes on with the settings of the run: give only --device beside it")
        return Train(None, **vars(options))
    default = preset(named)
    if "--quick" in settings:
        default = quick(default)

    @dataclass(frozen=True)
    class Options(_TrainOptions):
        config: Annotated[Config, tyro.conf.arg(name="")] = default

    prog, about = f"metarl train {named}", default.task.__doc__
    options = tyro.cli(Options, args=settings, prog=prog, description=about, config=(tyro.conf.AvoidSubcommands,))
    if options.resume is not None:
        raise ValueError("--resume goes on with a run and its preset: give one of the two")
    return Train(preset=named, **{f.name: getattr(options, f.name) for f in fields(options)})


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line; a mistake of the user's is one line and exit status 2."""
    logging.basicConfig(format="%(levelname)s: %(message)s")
    args = sys.argv[1:] if args is None else list(args)
    if not args or args[0] in ("-h", "--help", "help"):
        print(USAGE, end="")
        return
    try:
        parse(args).run()
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
