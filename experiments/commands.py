"""The commands of the command line, each of which is a dataclass of its options, and their parsing."""

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
from metarl.experiments.config.settings import Device, Number, Seed, Steps
from metarl.experiments.options import read_options
from metarl.experiments.presets import preset
from metarl.experiments.report.output import check_output
from metarl.ranges import Settings


class Command(Settings, ABC):
    """The base of commands: `metarl NAME` parses its options into the dataclass Name, and calls `run`."""

    @classmethod
    def parse(cls, args: Sequence[str]) -> Command:
        """The command with the options in `args`. Raises ValueError for invalid options."""
        command: Command = read_options(cls, args, f"metarl {cls.__name__.lower()}")
        return command

    @abstractmethod
    def run(self) -> None:
        """Execute the command."""


@dataclass(frozen=True)
class Train(Command):
    """Train a preset in a new run folder, or continue an existing run."""

    config: Config | None
    preset: str | None = None
    out: Path | None = None
    """new run folder; default: runs/PRESET-DATE"""
    resume: Path | None = None
    """run folder of a run that is continued, instead of a preset"""
    data: str | None = None
    """folder of the images of a run that is continued, if they have been moved"""
    quick: bool = False
    """reduce the run to a size that takes minutes on 2 cores"""
    device: Device = "auto"
    """device of torch; auto: a GPU if there is one"""

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
                raise ValueError("several processes share a run folder: give it by --out DIR")
            path = self.out or Path("runs") / f"{self.preset}-{datetime.now():%Y%m%d-%H%M%S}"
            runner.start(self.preset, self.config, path, device=device)
        if distributed.first():
            print(f"trained: {path}   evaluate it by: metarl evaluate {path}")


@dataclass(frozen=True)
class Evaluate(Command):
    """Adapt a trained initialisation to held-out tasks, and print the scores after 0 … K gradient steps."""

    run_folder: tyro.conf.Positional[str]
    """run folder, or pretrained:NAME"""
    steps: Steps | None = None
    """maximum number of gradient steps, K; default: test_steps of the run"""
    tasks: Number | None = None
    """number of held-out tasks; default: test_tasks of the run"""
    seed: Seed = 0
    """seed of the held-out tasks and of the random initialisation"""
    checkpoint: str = "last"
    """checkpoint; last, the number of its iterations, or best: the best one on validation tasks"""
    transductive: bool = True
    """normalise the query images of a task together; --no-transductive: each one with the support only"""
    json: Path | None = None
    """JSON file to which the scores are written"""
    data: str | None = None
    """folder of the images of the run, if they have been moved since training"""
    device: Device = "auto"
    """device of torch; auto: a GPU if there is one"""

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
    """Compare the scores of evaluated runs: means and interquartile means over seeds and tasks, with 95 % intervals."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """run folders with an evaluation.json, evaluation files, or pretrained:NAME; seeds of one preset are pooled"""
    out: Path | None = None
    """image file (.png, .pdf or .svg) to which a plot is written"""
    csv: Path | None = None
    """CSV file to which the table is written, with the random initialisations of all methods"""
    json: Path | None = None
    """JSON file to which the table is written, with the means of each seed"""

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
    """Plot learning curves, and scores after adaptation for evaluated runs. Seeds of one preset are pooled."""

    run_folders: tyro.conf.Positional[tuple[Path, ...]]
    """run folders, or pretrained:NAME"""
    out: Path
    """image file (.png, .pdf or .svg) to which the plot is written"""

    def run(self) -> None:
        from metarl.experiments.report.plot import plot_runs

        plot_runs(self.run_folders, self.out)
        print(f"plot: {self.out}")


@dataclass(frozen=True)
class Video(Command):
    """Film a policy before and after adaptation to a task, or after adaptation to several tasks, side by side."""

    run_folder: tyro.conf.Positional[str]
    """run folder, or pretrained:NAME"""
    out: Path
    """file (.mp4 or .gif) to which the film is written"""
    task: tyro.conf.UseAppendAction[tuple[float, ...]] = ()
    """goal, if it is one number; repeat the option for several goals; default: one goal that is sampled with --seed"""
    steps: Steps | None = None
    """number of gradient steps; default: the number of inner steps in training"""
    seed: Seed = 0
    """seed of the goal, of the initial state and of the sampled actions in adaptation"""

    def run(self) -> None:
        from metarl.experiments.report.video import film_run

        film_run(self.run_folder, self.out, tasks=self.task, steps=self.steps, seed=self.seed)
        print(f"video: {self.out}")


@dataclass(frozen=True)
class _TrainOptions(Settings):
    """Options of `metarl train PRESET` that are not settings of the experiment."""

    out: Path | None = None
    """new run folder; default: runs/PRESET-DATE"""
    quick: bool = False
    """reduce the run to a size that takes minutes on 2 cores"""
    device: Device = "auto"
    """device of torch; auto: a GPU if there is one"""


@dataclass(frozen=True)
class _ResumeOptions(Settings):
    """`metarl train PRESET` trains a preset in a new run folder, and `metarl train --resume DIR` continues a run.

    `metarl list` shows the presets.
    """

    resume: Path | None = None
    """run folder of the run that is continued"""
    data: str | None = None
    """folder of the images of the run, if they have been moved"""
    device: Device = "auto"
    """device of torch; auto: a GPU if there is one"""


def _parse_resume(args: Sequence[str]) -> Train:
    options, unknown = read_options(_ResumeOptions, args, "metarl train", return_unknown_args=True)
    if options.resume is None:
        raise ValueError("metarl train needs a preset, or --resume DIR: `metarl list` shows the presets")
    if unknown:
        raise ValueError(
            f"--resume continues with the settings of the run: give only --device and --data with it, not {unknown[0]}"
        )
    return Train(None, **vars(options))


def _parse_train(name: str, args: Sequence[str]) -> Train:
    default = preset(name)
    if [word for word in args if word in ("--quick", "--no-quick")][-1:] == ["--quick"]:
        default = default.task.quick(default)
    if any(word.split("=")[0] == "--resume" for word in args):
        raise ValueError("--resume continues a run with its settings: give either --resume DIR or a preset")

    @dataclass(frozen=True)
    class Options(_TrainOptions):
        config: Annotated[Config, tyro.conf.arg(name="")] = default

    options = read_options(
        Options, args, f"metarl train {name}", description=default.task.__doc__, config=(tyro.conf.AvoidSubcommands,)
    )
    return Train(preset=name, **{f.name: getattr(options, f.name) for f in fields(options)})
