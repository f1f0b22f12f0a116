"""The time and memory of an iteration of meta-RL as functions of the size of the meta-batch."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median

from metarl.experiments.benchmark.iteration import measure, peak_memory, sized
from metarl.experiments.benchmark.measure import Report, Timing
from metarl.experiments.config.run import Config
from metarl.experiments.config.settings import Device, Number
from metarl.experiments.report.output import check_output
from metarl.experiments.report.style import SUFFIXES, new_figure, panels, save
from metarl.ranges import Settings


@dataclass(frozen=True)
class Scaling(Settings):
    """The time and memory of an iteration for several numbers of tasks and of trajectories."""

    preset: str = "half-cheetah-vel-2017-maml"
    """preset that is measured, of a task in an environment"""
    tasks: tuple[Number, ...] = (10, 20, 40, 80, 160)
    """numbers of tasks that are measured, with 20 trajectories per task"""
    trajectories: tuple[Number, ...] = (5, 10, 20, 40)
    """numbers of trajectories per task that are measured, with 40 tasks"""
    repeats: Number = 3
    """number of iterations that are measured, after one that is not"""
    device: Device = "auto"
    """device of torch; auto: a GPU if there is one"""
    plot: Path | None = None
    """image file (.png, .pdf or .svg) to which a plot is written"""
    json: Path | None = None
    """JSON file to which the results are written"""

    def check_together(self) -> None:
        for name in ("tasks", "trajectories"):
            if not getattr(self, name):
                raise ValueError(f"{name} is empty: give one or more numbers")

    def run(self) -> list[Report]:
        """Measure iterations of increasing size, each in a separate process to measure its peak memory."""
        plot = None if self.plot is None else check_output(self.plot, SUFFIXES)
        reports = []
        for name, sizes in (("trajectories", sorted(self.trajectories)), ("tasks", sorted(self.tasks))):
            report = Report(f"{self.preset}: an iteration against the number of {name}", name)
            memory = []
            for size in sizes:
                config = sized(self.preset, **{"tasks": 40, "trajectories": 20, name: size})
                with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
                    seconds, peak = alone.submit(_measure, config, self.repeats, self.device).result()
                report.add(f"{size} {name}", Timing(median(seconds), min(seconds), max(seconds)), work=size)
                memory.append(peak)
                report.notes.append(f"{size} {name}: peak memory {memory[-1]:.2f} GiB")
            report.compare(report.rows[-1], report.rows[0])
            reports.append(report)
            if plot is not None and name == "tasks":
                _draw(plot, sizes, report, memory)
        return reports


def _measure(config: Config, repeats: int, device: str) -> tuple[list[float], float]:
    """The durations of iterations in seconds, and the peak memory of this process in GiB."""
    return measure(config, repeats=repeats, device=device)["iteration"], peak_memory()


def _draw(out: Path, sizes: list[int], report: Report, memory: list[float]) -> None:
    figure = new_figure(8, 3.2)
    time, space = panels(figure, 2)
    seconds = [row.timing.median for row in report.rows]
    for axes, values, label in ((time, seconds, "seconds per iteration"), (space, memory, "peak memory (GiB)")):
        axes.plot(sizes, values, marker="o")
        if axes is time:
            axes.plot([0, sizes[-1]], [0, values[-1]], ls=":", color="gray", label="proportional")
            axes.legend(frameon=False)
        axes.set(xlabel="tasks", ylabel=label, ylim=(0, None), xlim=(0, None))
    figure.suptitle(report.title.split(":")[0])
    save(figure, out)
