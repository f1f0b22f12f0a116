"""Progress: progress.csv, TensorBoard, and lines or a bar on the terminal."""

from __future__ import annotations

import csv
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from metarl.files import write_text


class ProgressFile:
    """progress.csv: a row a logged iteration, exact numbers only (no clock), so that equal runs are equal files."""

    def __init__(self, path: Path, *, keep: int) -> None:
        """Open for appending, dropping rows past iteration `keep` that a killed process wrote after its checkpoint."""
        self.path = path
        rows = [row for row in read_progress(path) if int(row["iteration"]) <= keep] if path.exists() else []
        self.columns = list(rows[0]) if rows else []
        text = "".join(",".join(values) + "\n" for values in [self.columns, *(r.values() for r in rows)] if rows)
        write_text(path, text)

    def append(self, row: dict[str, float]) -> None:
        """Append a row; the first one fixes the columns."""
        if not self.columns:
            self.columns = list(row)
        with self.path.open("a", newline="") as handle:
            writer = csv.DictWriter(handle, self.columns, lineterminator="\n")
            if handle.tell() == 0:
                writer.writeheader()
            writer.writerow(row)


def read_progress(path: Path) -> list[dict[str, str]]:
    """The rows of a progress.csv, less a last one cut short by a crash. Raises ValueError where there is no file."""
    try:
        with path.open(newline="") as handle:
            rows = list(csv.DictReader(handle))
    except OSError as error:
        raise ValueError(f"cannot read {path} ({error.strerror}): is {path.parent} a run folder?") from None
    return [row for row in rows if None not in row and None not in row.values()]


class Display:
    """Where a run stands: a live line on a terminal, else plain lines, at most one every `every` seconds."""

    def __init__(self, total: int, *, start: int = 0, every: float = 5.0) -> None:
        self.total, self.start, self.every = total, start, every
        self.console = Console(file=sys.stderr)
        self.begin = time.perf_counter()
        self.last = -float("inf")
        columns = (MofNCompleteColumn(), TextColumn("{task.description}"), TextColumn("ETA"), TimeRemainingColumn())
        self.bar = Progress(*columns, console=self.console)
        self.task = self.bar.add_task("", total=total, completed=start)

    def __enter__(self) -> Display:
        if self.console.is_terminal:
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.console.is_terminal:
            self.bar.stop()

    def show(self, iteration: int, text: str) -> None:
        """Say `text` of the state after `iteration` finished iterations."""
        if self.console.is_terminal:
            self.bar.update(self.task, completed=iteration, description=text)
            return
        now = time.perf_counter()
        if now - self.last < self.every and iteration < self.total:
            return
        self.last = now
        left = (now - self.begin) / max(iteration - self.start, 1) * (self.total - iteration)
        minutes, seconds = divmod(round(left), 60)
        print(f"iteration {iteration}/{self.total}  {text}  ETA {minutes}:{seconds:02d}", file=sys.stderr, flush=True)
