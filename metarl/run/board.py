"""TensorBoard's events: a picture of a run, not the run. What fails here is told once, and training goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType

from torch.utils.tensorboard import SummaryWriter

from metarl.run.display import say


class Board:
    """Scalars for TensorBoard, in the folder `path`; from iteration `start` on they replace those that are there."""

    def __init__(self, path: Path, *, start: int) -> None:
        self.path = path
        self.writer: SummaryWriter | None = None
        self._try(lambda: setattr(self, "writer", SummaryWriter(str(path), purge_step=start + 1)))

    def add(self, values: Mapping[str, float], iteration: int) -> None:
        """Record `values` after `iteration` finished iterations."""
        writer = self.writer
        if writer is not None:
            self._try(lambda: [writer.add_scalar(name, value, iteration) for name, value in values.items()])

    def __enter__(self) -> Board:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.writer is not None:
            self._try(self.writer.close)

    def _try(self, write: Callable[[], object]) -> None:
        try:
            write()
        except Exception as error:  # its writer has a thread of its own, and passes on whatever that met
            self.writer = None
            say(f"warning: no more TensorBoard events in {self.path} ({error}); the training itself goes on")
