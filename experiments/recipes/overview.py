"""One display for runs that are trained side by side: live progress bars on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
from contextlib import suppress

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Column

from metarl.run.display import PROGRESS, notify


class Overview:
    """The progress of `total` runs: a live line for each that is at work, or what each prints, after its name.

    A terminal that is closed does not end the runs.
    """

    def __init__(self, total: int) -> None:
        console = Console(file=sys.stderr)
        has_stderr = sys.stderr is not None and not sys.stderr.closed
        self.live = has_stderr and (console.is_terminal or console.is_jupyter)
        rest = Column(no_wrap=True, overflow="ellipsis", ratio=1)  # what is left of the line
        self.bars = Progress(
            TextColumn("{task.fields[run]}", markup=False),
            BarColumn(bar_width=12),
            MofNCompleteColumn(),
            TextColumn("{task.fields[eta]}", markup=False),
            TextColumn("{task.description}", markup=False, table_column=rest),
            console=console, disable=not self.live, expand=True,
        )  # fmt: skip
        self.all = self.bars.add_task("", total=total, run="finished runs", eta="")
        self.rows: dict[str, TaskID] = {}

    def __enter__(self) -> Overview:
        self.bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError, ValueError):
            self.bars.stop()

    def start(self, run: str) -> None:
        """Show that `run` is at work."""
        self.rows[run] = self.bars.add_task("starting", total=None, run=run, eta="")

    def say(self, run: str, line: str) -> None:
        """Show a line that `run` has printed."""
        found = PROGRESS.fullmatch(line)
        if not self.live or not found:
            self._print(f"{run}: {line}")
        if found:
            done, total, text, eta = found.groups()
            self._update(run, completed=int(done), total=int(total), description=text, eta=f"ETA {eta}")
        else:
            self._update(run, description=line, eta="")

    def end(self, run: str, how: str, *, finished: bool = False) -> None:
        """Show that `run` has ended, `how`, and count it if it is `finished`."""
        self._print(f"{run}: {how}")
        if (row := self.rows.pop(run, None)) is not None:
            self.bars.remove_task(row)
        with suppress(OSError, ValueError):
            self.bars.advance(self.all, int(finished))

    def _update(self, run: str, **changes: object) -> None:
        with suppress(OSError, ValueError):
            self.bars.update(self.rows[run], **changes)  # type: ignore[arg-type]

    def _print(self, text: str) -> None:
        if not self.live:
            notify(text)
            return
        with suppress(OSError, ValueError):
            self.bars.console.print(text, markup=False, highlight=False, soft_wrap=True)
