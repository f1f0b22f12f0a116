"""The progress display of a run: a live line with an ETA on a terminal or in a notebook, plain lines elsewhere."""

from __future__ import annotations

import re
import sys
import time
from contextlib import suppress

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

PROGRESS = re.compile(r"iteration (\d+)/(\d+)  (.*)  ETA (\d+:\d\d)")
"""A line that `Display.show` prints where there is no terminal: the iteration, their number, the text, and the ETA."""


def notify(text: str) -> None:
    """Print a line to stderr, if it is open."""
    with suppress(OSError, ValueError, AttributeError):
        print(text, file=sys.stderr, flush=True)


class Display:
    """The progress of a run of `total` iterations, from iteration `start`: a live line, or a line each `every` seconds.

    A terminal that is closed does not end the run.
    """

    def __init__(self, total: int, *, start: int = 0, every: float = 5.0) -> None:
        self.total, self.start, self.every = total, start, every
        console = Console(file=sys.stderr)
        has_stderr = sys.stderr is not None and not sys.stderr.closed
        self.live = has_stderr and (console.is_terminal or console.is_jupyter)
        self.begin = time.perf_counter()
        self.last = -float("inf")
        columns = (MofNCompleteColumn(), TextColumn("{task.description}"), TextColumn("ETA"), TimeRemainingColumn())
        self.bar = Progress(*columns, console=console, disable=not self.live)
        self.task = self.bar.add_task("", total=total, completed=start)

    def __enter__(self) -> Display:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError, ValueError):
            self.bar.stop()

    def show(self, iteration: int, text: str) -> None:
        """Show `text` as the state after `iteration` finished iterations."""
        if self.live:
            with suppress(OSError, ValueError):
                self.bar.update(self.task, completed=iteration, description=text)
            return
        now = time.perf_counter()
        if now - self.last < self.every and iteration < self.total:
            return
        self.last = now
        left = (now - self.begin) / max(iteration - self.start, 1) * (self.total - iteration)
        minutes, seconds = divmod(round(left), 60)
        notify(f"iteration {iteration}/{self.total}  {text}  ETA {minutes}:{seconds:02d}")
