"""The log of a run: rows of progress.csv, TensorBoard events, and the display."""

from __future__ import annotations

import math
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from metarl.run.board import Board
from metarl.run.display import Display
from metarl.run.progress import ProgressFile

CLOCK = ("seconds_sampling", "seconds_update")  # not in progress.csv, so that equal runs have equal files


class Log:
    """The log of iterations `start` … `total` in the run folder `path`, whose progress.csv begins with the rows `text`.

    The display shows `title` and those metrics whose names begin with `metric`.
    """

    def __init__(self, path: Path, text: str, *, start: int, total: int, metric: str, title: str) -> None:
        self.metric, self.title, self._stack = metric, title, ExitStack()
        self.progress = ProgressFile(path / "progress.csv", text)
        self.board, self.display = Board(path, start=start), Display(total, start=start)

    def __enter__(self) -> Log:
        self._stack.enter_context(self.board)
        self._stack.enter_context(self.display)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.__exit__(kind, error, trace)

    def add(self, iteration: int, metrics: dict[str, float], env_steps: float, rate: float) -> None:
        """Log the metrics after `iteration` iterations and `env_steps` environment steps, `rate` of them per second."""
        exact = {name: value for name, value in metrics.items() if name not in CLOCK}
        self.progress.append({"iteration": iteration, "env_steps": int(env_steps), **exact})
        self.board.add({**metrics, "env_steps_per_second": rate}, iteration)
        self.display.show(iteration, self.title + _described(metrics, self.metric, rate))


def _described(metrics: dict[str, float], metric: str, rate: float) -> str:
    scores = {name.split("_")[1]: value for name, value in metrics.items() if name.startswith(metric + "_")}
    text = f"{metric} after {'/'.join(scores)} steps: {' / '.join(f'{score:.4g}' for score in scores.values())}"
    text = text if scores else f"loss {metrics.get('loss', math.nan):.4g}"
    return f"{text}  {rate:,.0f} env steps/s" if rate else text
