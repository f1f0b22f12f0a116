"""Faults of a file system, put into a process: a call that fails, or a limit on the size of files."""

from __future__ import annotations

import builtins
import errno
import io
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def inject(*, call: str = "", code: str = "", at: int = 1, below: str = "", once: bool = True, log: str = "",
           size: int | None = None) -> None:  # fmt: skip
    """Let the `at`-th `call` on a path below the folder `below` fail with the error `code`, and those after it too.

    `call` is open (for writing), mkdir, replace, rename or fsync; with `once` those after it succeed again. The file
    `log` is given the path that met the fault. With `size`, no file can grow beyond so many bytes.
    """
    if size is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        return
    number, count = getattr(errno, code), 0

    def failing(real: Callable[..., Any], is_meant: Callable[..., bool]) -> Callable[..., Any]:
        def wrapper(path: Any, *args: Any, **kwargs: Any) -> Any:
            nonlocal count
            name = os.readlink(f"/proc/self/fd/{path}") if isinstance(path, int) else os.path.abspath(os.fspath(path))
            there = call == "mkdir" and os.path.isdir(name)  # which fails by itself, and does no harm
            if name.startswith(below) and not there and is_meant(*args, **kwargs):
                count += 1
                if count == at or (count > at and not once):
                    Path(log).write_text(name) if not Path(log).exists() else None
                    raise OSError(number, os.strerror(number), name)
            return real(path, *args, **kwargs)

        return wrapper

    if call == "open":
        opens = failing(io.open, lambda mode="r", *_, **__: any(letter in mode for letter in "wax+"))
        builtins.open = io.open = opens
        os.open = failing(os.open, lambda flags, *_, **__: bool(flags & WRITING))
    else:
        setattr(os, call, failing(getattr(os, call), lambda *_, **__: True))
