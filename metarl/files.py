"""Files: only regular ones are read, and what is written appears whole or not at all, never through another's link."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOFOLLOW, NONBLOCK = getattr(os, "O_NOFOLLOW", 0), getattr(os, "O_NONBLOCK", 0)  # Windows has neither


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A new, empty file beside `path` to write to, with its suffix: renamed to `path` at the end, deleted on an error.

    Its name is random, so nothing that lies in the folder is written through or replaced but `path` itself; a symbolic
    link at `path` is replaced, not followed. Raises OSError, naming `path` and the reason, where it cannot be written.
    """
    draft = draft_path(path)
    try:
        with write_errors(path):
            os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY | NOFOLLOW, 0o666))
            mode = draft.stat().st_mode
            yield draft
            if draft.stat().st_mode != mode:  # safetensors makes files that only their owner can read
                draft.chmod(mode)
            sync(draft)
            os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def draft_path(path: Path) -> Path:
    """A name beside `path`, with its suffix, that nobody can foresee."""
    return path.with_name(f".{secrets.token_hex(8)}.draft{path.suffix}")


def remove_drafts(folder: Path) -> None:
    """Remove the drafts that killed processes have left in `folder`, which must be locked against other writers."""
    for path in folder.glob(".*.draft*"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path`, whole or not at all."""
    with atomic_write(path) as draft:
        draft.write_text(text, encoding="utf-8")


def append_text(path: Path, text: str) -> None:
    """Append `text` to `path`, a regular file that must be there. A symbolic link is refused."""
    with write_errors(path):
        handle = os.open(path, os.O_APPEND | os.O_WRONLY | NONBLOCK | NOFOLLOW)
        with os.fdopen(handle, "a", encoding="utf-8") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise OSError(errno.EINVAL, "not a regular file")
            file.write(text)


def regular_file(path: Path) -> Path:
    """`path`, where a regular file is, or a link to one. Raises ValueError that says what is there instead."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        kind = "is a link to nothing" if path.is_symlink() else "does not exist"
        raise ValueError(f"{path} {kind}: restore it") from None
    except OSError as error:
        raise ValueError(f"cannot read {path} ({error.strerror})") from None
    if not stat.S_ISREG(mode):
        raise ValueError(f"{path} is {file_kind(mode)}, not a file: remove it, or restore the file")
    return path


def read_text(path: Path) -> str:
    """The text of a regular file. Raises ValueError, naming the file, where it cannot be read or is no UTF-8 text."""
    try:
        return regular_file(path).read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ValueError(f"cannot read {path} ({reason})") from None


def file_kind(mode: int) -> str:
    """What a file of this `st_mode` is, in words."""
    kinds = {
        stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
    }  # fmt: skip
    return kinds.get(stat.S_IFMT(mode), "a file")


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Turn an OSError within into one that says in a line that `path` cannot be written, and why."""
    try:
        yield
    except OSError as error:
        if str(error).startswith("cannot write"):
            raise
        raise OSError(f"cannot write {path} ({error.strerror or error}): make room, or choose another place") from None


def check_writable(folder: Path) -> None:
    """Raise OSError, naming `folder` and the reason, where no file can be made in it."""
    draft = draft_path(folder / "probe")
    with write_errors(folder):
        os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY | NOFOLLOW))
        draft.unlink()


def sync(file: Path) -> None:
    """Have the system keep `file` through a loss of power."""
    with file.open("rb") as handle:
        os.fsync(handle.fileno())
