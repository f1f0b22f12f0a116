"""The commands of the command line, each a dataclass of its options, and how they are parsed."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table

from metarl import distributed
from metarl.experiments.config.run import Config
from metarl.experiments.config.settings import Device, Fraction, Number, Seed, Steps
from metarl.experiments.options import read_options
from metarl.experiments.presets import preset
from metarl.experiments.report.output import check_output
from metarl.ranges import Settings


class Command(Settings, ABC):
    """The base of the commands: `metarl NAME` reads the options into the dataclass Name."""

    @classmethod
    def parse(cls, args: Sequence[str]) -> Command:
        """The command with the options that `args` spell."""
        command: Command = read_options(cls, args, f"metarl {cls.__name__.lower()}")
        return command

    @abstractmethod
    def run(self) -> None:
        """Do what was asked."""


@dataclass(frozen=True)
class Train(Command):
    """Train a preset in a new run folder, or go on with a run."""

    config: Config | None
    preset: str | None = None
    out: Path | None = None
    """the new run folder; default: runs/PRESET-DATE"""
    resume: Path | None = None
    """a run folder to go on with, in place of a preset"""
    data: str | None = None
    """where the images of the run to go on with lie now; default: where they lay"""
    quick: bool = False
    """the same run at a size that ends within minutes on 2 cores"""
    device: Device = "auto"

    @classmethod
    def parse(cls, args: Sequence[str]) -> Train:
        return _parse_resume(args) if not args or args[0].startswith("-") else _parse_train(args[0], args[1:])

    def run(self) -> None:
        from metarl.experiments import runner
        from metarl.run.load import load_options, resume

        device = runner.pick_device(self.device)
        if self.resume is not None:
            resume(self.resume, **load_options(device, self.data))
            path = self.resume
        else:
            assert self.preset is not None
            assert self.config is not None
            if self.out is None and distributed.count() > 1:
                raise ValueError("several processes share a run folder: name it by --out DIR")
            path = self.out or Path("runs") / f"{self.preset}-{datetime.now():%Y%m%d-%H%M%S}"
            runner.start(self.preset, self.config, path, device=device)
        if distributed.first():
            print(f"trained: {path}   evaluate it by: metarl evaluate {path}")


@dataclass(frozen=True)
class Evaluate(Command):
    """Adapt a trained initialisation to held-out tasks and print the score after 0 … K gradient steps."""

    run_folder: tyro.conf.Positional[str]
    """a run folder, or pretrained:NAME"""
    steps: Steps | None = None
    """K; default: the preset's"""
    tasks: Number | None = None
    """held-out tasks; default: the preset's"""
    seed: Seed = 0
    """of the held-out tasks and, where random, of the random initialisation"""
    checkpoint: str = "last"
    """last, a number of iterations, or best: on validation tasks, which tests never see"""
    transductive: bool = True
    """images of a query may be normalised together; --no-transductive: each with the support alone"""
    json: Path | None = None
    """a file, .json, to write the numbers to"""
    data: str | None = None
    """where the run's images lie now; default: where they lay in training"""
    device: Device = "auto"

    def run(self) -> None:
        from metarl.experiments.evaluation import evaluate_run
        from metarl.experiments.report.stored import write_stored
        from metarl.experiments.runner import pick_device
        from metarl.run.shared import check_agreement

        check_agreement(vars(self))
        file = None if self.json is None else check_output(self.json, (".json",))
        result = evaluate_run(
            self.run_folder, steps=self.steps, tasks=self.tasks, seed=self.seed, checkpoint=self.checkpoint,
            transductive=self.transductive, device=pick_device(self.device), data=self.data,
        )  # fmt: skip
        if not distributed.first():
            return
        info = [name for name in result if name.startswith("info.")]
        names = [name.removeprefix("info.") for name in info]
        table = Table("gradient steps", result["metric"], "95 %", "random initialisation", "95 %", *names)
        columns = ("steps", "mean", "ci95", "random_mean", "random_ci95", *info)
        for k, *values in zip(*(result[c] for c in columns), strict=True):
            mean, ci95, random_mean, random_ci95, *more = (float("nan") if v is None else v for v in values)
            scores = f"{mean:.4g}", f"± {ci95:.2g}", f"{random_mean:.4g}", f"± {random_ci95:.2g}"
            table.add_row(str(k), *scores, *(f"{value:.4g}" for value in more))
        print(f"{result['preset']} after {result['iteration']} iterations, {result['tasks']} held-out tasks")
        Console().print(table)
        if file is not None:
            write_stored(result, file)


@dataclass(frozen=True)
class Compare(Command):
    """Compare evaluated runs over seeds and tasks: means and interquartile means with 95 % intervals."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """run folders with an evaluation.json, evaluation files, or pretrained:NAME; seeds of one preset are pooled"""
    out: Path | None = None
    """a picture, .png, .pdf or .svg"""
    csv: Path | None = None
    """a file, .csv, to write the table to, with the random initialisation of every method"""
    json: Path | None = None
    """a file, .json, to write everything to, the means of each seed as well"""

    def run(self) -> None:
        from metarl.experiments.report import compare, tables
        from metarl.experiments.report.style import SUFFIXES, save

        out, csv, json = (
            None if file is None else check_output(file, suffixes)
            for file, suffixes in ((self.out, SUFFIXES), (self.csv, (".csv",)), (self.json, (".json",)))
        )
        comparison = compare.compare(self.runs)
        console = Console(width=None if sys.stdout.isatty() else 140)
        console.print(tables.table(comparison, width=console.width))
        if out is not None:
            save(compare.picture(comparison), out)
        if csv is not None:
            tables.write_csv(comparison, csv)
        if json is not None:
            tables.write_json(comparison, json)


@dataclass(frozen=True)
class Plot(Command):
    """Plot progress, and adaptation where evaluation.json lies in a run folder. Seeds of one preset are pooled."""

    run_folders: tyro.conf.Positional[tuple[Path, ...]]
    """run folders, or pretrained:NAME"""
    out: Path
    """the picture, .png, .pdf or .svg"""

    def run(self) -> None:
        from metarl.experiments.report.plot import plot_runs

        plot_runs(self.run_folders, self.out)
        print(f"plot: {self.out}")


@dataclass(frozen=True)
class Video(Command):
    """Film a policy before and after adaptation to a task, or after adaptation to several, side by side."""

    run_folder: tyro.conf.Positional[str]
    """a run folder, or pretrained:NAME"""
    out: Path
    """the film, .mp4 or .gif"""
    task: tyro.conf.UseAppendAction[tuple[float, ...]] = ()
    """the goal, where it is one number; several times: several goals; default: drawn from the task distribution"""
    steps: Steps | None = None
    """gradient steps; default: the preset's inner steps"""
    seed: Seed = 0

    def run(self) -> None:
        from metarl.experiments.report.video import film_run

        film_run(self.run_folder, self.out, tasks=self.task, steps=self.steps, seed=self.seed)
        print(f"video: {self.out}")


@dataclass(frozen=True)
class Reproduce(Command):
    """Train, evaluate and compare the methods of a published result, over seeds. Started again, it goes on."""

    task: tyro.conf.Positional[str]
    """presets' first words, "half-cheetah-vel-2017"; an unknown one lists all"""
    methods: tuple[str, ...] = ()
    """default: all of the recipe's"""
    seeds: tuple[Seed, ...] = ()
    """default: the recipe's"""
    fraction: Fraction = 1.0
    """of the budget, for a quick look"""
    runs: Path = Path("runs")
    results: Path = Path("experiments/results")
    """where tables and pictures go"""
    data: str | None = None
    """the folder of an image data set; default: METARL_DATA, or the user's cache"""
    device: Device = "auto"

    def run(self) -> None:
        from metarl.experiments.recipes.table import RECIPES
        from metarl.experiments.runner import pick_device

        if self.task not in RECIPES:
            raise ValueError(f"no recipe for {self.task!r}: choose one of {', '.join(RECIPES)}")
        RECIPES[self.task].run(
            methods=self.methods, seeds=self.seeds, fraction=self.fraction, runs=self.runs, results=self.results,
            data=self.data, device=pick_device(self.device),
        )  # fmt: skip


@dataclass(frozen=True)
class _TrainOptions(Settings):
    """Options of `metarl train PRESET` that are not settings of the experiment."""

    out: Path | None = None
    """the new run folder; default: runs/PRESET-DATE"""
    quick: bool = False
    """the same run at a size that ends within minutes on 2 cores"""
    device: Device = "auto"


@dataclass(frozen=True)
class _ResumeOptions(Settings):
    """`metarl train PRESET` trains in a new run folder (`metarl list` shows the presets); --resume goes on with one."""

    resume: Path | None = None
    """the run folder"""
    data: str | None = None
    """where its images lie now; default: where they lay"""
    device: Device = "auto"


def _parse_resume(args: Sequence[str]) -> Train:
    options, unknown = read_options(_ResumeOptions, args, "metarl train", return_unknown_args=True)
    if options.resume is None:
        raise ValueError("metarl train needs a preset, or --resume DIR: `metarl list` shows the presets")
    if unknown:
        raise ValueError(
            f"--resume goes on with the settings of the run: give only --device and --data beside it, not {unknown[0]}"
        )
    return Train(None, **vars(options))


def _parse_train(name: str, args: Sequence[str]) -> Train:
    default = preset(name)
    if [word for word in args if word in ("--quick", "--no-quick")][-1:] == ["--quick"]:
        default = default.task.quick(default)
    if any(word.split("=")[0] == "--resume" for word in args):
        raise ValueError("--resume goes on with a run and its preset: give one of the two")

    @dataclass(frozen=True)
    class Options(_TrainOptions):
        config: Annotated[Config, tyro.conf.arg(name="")] = default

    options = read_options(
        Options, args, f"metarl train {name}", description=default.task.__doc__, config=(tyro.conf.AvoidSubcommands,)
    )
    return Train(preset=name, **{f.name: getattr(options, f.name) for f in fields(options)})
