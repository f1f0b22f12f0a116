"""Commands of `metarl` under test: what each said, how it ended, and whether that was a clear refusal."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SERVER = Path(__file__).with_name("server.py")
LIMIT = 60.0  # seconds that a command may take; all take a fraction, and a loaded machine is slow
TRACES = ("Traceback (most recent call last)", "Exception ignored", "Fatal Python error", "Exception in thread")

Expect = Callable[..., None]
"""`expect(outcome, kind, *words)`: what a command has to come to (the fixture of the same name)."""


@dataclass(frozen=True)
class Outcome:
    """How a command ended: its exit status, negative where a signal ended it, None where it had to be killed."""

    status: int | None
    out: str
    err: str

    @property
    def kind(self) -> str:
        """One of done, refused, interrupted, killed (by a signal), or of what must not be: traceback, hang, unclear."""
        if self.status is None:
            return "hang"
        if any(trace in self.out + self.err for trace in TRACES) or self.status in (-signal.SIGSEGV, -signal.SIGABRT):
            return "traceback"
        if self.status == 2 and self.line.startswith("error: ") and self.err.count("error: ") == 1:
            return "refused"
        names = {0: "done", 130: "interrupted"}
        return "killed" if self.status < 0 else names.get(self.status, "unclear")

    @property
    def line(self) -> str:
        """The last line of what was said to stderr."""
        return (self.err.strip().splitlines() or [""])[-1]


class Running:
    """A command at work."""

    def __init__(self, server: Server, pid: int, streams: list[int]) -> None:
        self.server, self.pid, self.streams = server, pid, streams
        self.status: int | None = None
        self.ended = False

    def send(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def poll(self, seconds: float) -> bool:
        """Wait so long, at most, for its end; whether it has ended."""
        if not self.ended and (answer := self.server.answer(seconds)) is not None:
            self.status, self.ended = os.waitstatus_to_exitcode(int(answer)), True
        return self.ended

    def outcome(self, limit: float = LIMIT) -> Outcome:
        """How it ends, within `limit` seconds."""
        hung = not self.poll(limit)
        if hung:
            self.send(signal.SIGKILL)
            self.poll(LIMIT)
        out, err = map(_rest, self.streams)
        return Outcome(None if hung else self.status, out, err)


class Server:
    """A process that runs commands one after another."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.count = folder, 0
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        self.process = subprocess.Popen(
            [sys.executable, str(SERVER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        )
        self.buffer = b""
        assert self.answer(300) == "ready"

    def start(
        self, *args: object, folder: Path | None = None, fault: dict[str, Any] | None = None,
        out: Path | None = None, whole: bool = False, **environment: str,
    ) -> Running:  # fmt: skip
        """Start `metarl ARGS` in the folder `folder`, with a fault from `injection`.

        What it prints goes to the file `out`, if that is given. `whole`: its interpreter ends as any other does.
        """
        self.count += 1
        files = [self.folder / f"{self.count:04d}.{name}" for name in ("out", "err")]
        for file in files:
            file.touch() if fault is None else os.mkfifo(file)  # a limit on the size of files is none on a pipe
        streams = [os.open(file, os.O_RDONLY | os.O_NONBLOCK) for file in files]
        order = {
            "args": [str(arg) for arg in args], "out": str(out or files[0]), "err": str(files[1]), "fault": fault,
            "folder": str(folder or self.folder), "environment": environment, "whole": whole,
        }  # fmt: skip
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order).encode() + b"\n")
        self.process.stdin.flush()
        pid = self.answer(60)
        assert pid is not None, "the server is gone"
        return Running(self, int(pid), streams)

    def run(self, *args: object, limit: float = LIMIT, **options: Any) -> Outcome:
        """Run `metarl ARGS` to its end."""
        return self.start(*args, **options).outcome(limit)

    def answer(self, seconds: float) -> str | None:
        """The server's next line, None where there is none for so long."""
        assert self.process.stdout is not None
        handle, end = self.process.stdout.fileno(), time.monotonic() + seconds
        while b"\n" not in self.buffer:
            ready, _, _ = select.select([handle], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                return None
            read = os.read(handle, 4096)
            assert read, "the server is gone"
            self.buffer += read
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line.decode()

    def stop(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(60)


def _rest(handle: int) -> str:
    """What is in a file, or a pipe that nobody writes to any more; `handle` is closed."""
    parts = []
    with suppress(BlockingIOError):
        while part := os.read(handle, 65536):
            parts.append(part)
    os.close(handle)
    return b"".join(parts).decode(errors="replace")
