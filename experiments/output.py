"""Pictures and films as files: their path is checked before the work, and they appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


def check_output(out: Path, suffixes: Sequence[str]) -> None:
    """Raise ValueError where `out` has none of `suffixes` (lower case, with the dot) or its folder does not exist."""
    if out.suffix.lower() not in suffixes:
        raise ValueError(f"cannot write {out}: its name must end in one of {', '.join(suffixes)}")
    if not out.resolve().parent.is_dir():
        raise ValueError(f"cannot write {out}: its folder does not exist, make it first")


@contextmanager
def draft(out: Path) -> Iterator[Path]:
    """A path beside `out`, with its suffix, to write to: renamed to `out` at the end, deleted after an error."""
    path = out.with_name(f".{out.stem}.draft{out.suffix}")
    try:
        yield path
        os.replace(path, out)
    finally:
        path.unlink(missing_ok=True)
