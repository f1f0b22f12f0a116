"""TensorBoard events of a run. If they cannot be written, a warning is printed once and training continues."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from metarl.files import NOFOLLOW
from metarl.run.display import notify


class Board:
    """A writer of TensorBoard scalars to a new file in the folder `path`.

    From iteration `start` on, the scalars replace those of earlier files. They are written immediately and in this
    thread: TensorBoard's own writer has a thread that prints a traceback when the disk is full.
    """

    def __init__(self, path: Path, *, start: int) -> None:
        self.path = path
        self.records: RecordWriter | None = None
        self._try(lambda: self._open(start + 1))

    def add(self, values: Mapping[str, float], iteration: int) -> None:
        """Write `values` as the scalars after `iteration` finished iterations."""
        rows = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._try(lambda: self._write(Event(step=iteration, summary=Summary(value=rows))))

    def __enter__(self) -> Board:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.records is not None:
            self._try(self.records.close)

    def _open(self, step: int) -> None:
        name = f"events.out.tfevents.{time.time():.6f}.{socket.gethostname()}.{os.getpid()}"
        handle = os.open(self.path / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | NOFOLLOW, 0o666)
        self.records = RecordWriter(os.fdopen(handle, "wb"))
        self._write(Event(step=step, file_version="brain.Event:2"))
        self._write(Event(step=step, session_log=SessionLog(status=SessionLog.START)))

    def _write(self, event: Event) -> None:
        if self.records is not None:
            event.wall_time = time.time()
            self.records.write(event.SerializeToString())
            self.records.flush()

    def _try(self, write: Callable[[], object]) -> None:
        try:
            write()
        except OSError as error:
            self.records = None
            reason = f"TensorBoard events cannot be written to {self.path} ({error.strerror})"
            notify(f"warning: {reason}; training continues")
