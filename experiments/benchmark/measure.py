"""Timings of several candidates in turns, and reports with medians, ratios, the machine and package versions."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from statistics import median
from typing import Any, NamedTuple

import torch
from rich.console import Console
from rich.table import Table

PACKAGES = ("metarl", "torch", "numpy", "mujoco", "gymnasium", "stable-baselines3")
REFERENCES = ("envpool", "higher", "torchopt", "learn2learn", "jax", "optax")  # reported if installed


class Timing(NamedTuple):
    """The median, shortest and longest duration of a call, in seconds."""

    median: float
    low: float
    high: float


def interleave(calls: Mapping[str, Callable[[], object]], *, repeats: int) -> dict[str, Timing]:
    """Time `calls` in turns, for `repeats` rounds after one that is not measured.

    Thus, changes in the speed of the machine affect all calls equally, and not their ratios.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for round_ in range(repeats + 1):
        for name, call in calls.items():
            begin = time.perf_counter()
            call()
            if round_:
                seconds[name].append(time.perf_counter() - begin)
    return {name: Timing(median(values), min(values), max(values)) for name, values in seconds.items()}


@dataclass(frozen=True)
class Row:
    """One measurement: the timing of a call that does `work` units, such as environment steps or tasks."""

    name: str
    timing: Timing
    work: float

    @property
    def rate(self) -> float:
        """The number of units per second."""
        return self.work / self.timing.median


@dataclass
class Report:
    """The measurements of a benchmark, and the ratios of their rates: `ratios[ours, reference]`."""

    title: str
    unit: str | None = None  # unit of work, in the plural; None: rates are not shown
    rows: list[Row] = field(default_factory=list)
    ratios: dict[tuple[str, str], float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, name: str, timing: Timing, *, work: float = 1.0) -> Row:
        """Append a row for a call that does `work` units, and return it."""
        self.rows.append(Row(name, timing, work))
        return self.rows[-1]

    def compare(self, ours: Row, reference: Row) -> None:
        """Record the ratio of the rates of `ours` and `reference`."""
        self.ratios[ours.name, reference.name] = ours.rate / reference.rate

    def show(self) -> None:
        """Print the rows, ratios and notes."""
        columns = ["", "seconds", "fastest … slowest", *([f"{self.unit}/s"] if self.unit else [])]
        table = Table(*columns, title=self.title, title_justify="left")
        for row in self.rows:
            timing = row.timing
            cells = [row.name, f"{timing.median:.3g}", f"{timing.low:.3g} … {timing.high:.3g}"]
            table.add_row(*cells, *([f"{row.rate:,.0f}"] if self.unit else []))
        console = Console(width=120)
        console.print(table)
        for (ours, reference), ratio in self.ratios.items():
            console.print(f"  {ours} / {reference}: {ratio:.3g}", highlight=False)
        for note in self.notes:
            console.print(f"  {note}", highlight=False)

    def as_json(self) -> dict[str, Any]:
        """The report as a JSON object, for `--json`."""
        rows = [
            {"name": r.name, "seconds": r.timing.median, "low": r.timing.low, "high": r.timing.high, "rate": r.rate}
            for r in self.rows
        ]
        ratios = [{"ours": a, "reference": b, "ratio": ratio} for (a, b), ratio in self.ratios.items()]
        return {"title": self.title, "unit": self.unit, "rows": rows, "ratios": ratios, "notes": self.notes}


def machine() -> dict[str, Any]:
    """A description of the machine: processor, cores, GPU, Python and package versions."""
    processor = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            processor = next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        pass  # not Linux: use the description of `platform`
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    versions = {package: installed(package) for package in PACKAGES}
    versions |= {package: found for package in REFERENCES if (found := installed(package))}
    return {"processor": processor, "cores": cores, "gpu": gpu, "python": platform.python_version(), **versions}


def installed(package: str) -> str | None:
    """The version of a package, or None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
