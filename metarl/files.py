"""Reading and writing files: only regular files are read, and a file is written completely or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOFOLLOW, NONBLOCK = getattr(os, "O_NOFOLLOW", 0), getattr(os, "O_NONBLOCK", 0)  # Windows does not define them


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a new, empty file beside `path`, with its suffix, to write to. It becomes `path` at the end.

    After an error it is deleted, and `path` stays as it was. The name of the file is random, so no other file in the
    folder is overwritten; a symbolic link at `path` is replaced, not followed. Raises OSError, which names `path` and
    the reason, if the file cannot be written.
    """
    draft = draft_path(path)
    try:
        with write_errors(path):
            os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY | NOFOLLOW, 0o666))
            mode = draft.stat().st_mode
            yield draft
            if draft.stat().st_mode != mode:  # safetensors makes files readable by their owner only
                draft.chmod(mode)
            sync(draft)
            os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def draft_path(path: Path) -> Path:
    """A random path beside `path`, with its suffix, for a file or folder that will be renamed to `path`."""
    return path.with_name(f".{secrets.token_hex(8)}.draft{path.suffix}")


def remove_drafts(folder: Path) -> None:
    """Remove the drafts that killed processes left in `folder`, which must be locked against other writers."""
    for path in folder.glob(".*.draft*"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path`, completely or not at all."""
    with atomic_write(path) as draft:
        draft.write_text(text, encoding="utf-8")


def append_text(path: Path, text: str) -> None:
    """Append `text` to `path`, which must be an existing regular file and not a symbolic link."""
    with write_errors(path):
        handle = os.open(path, os.O_APPEND | os.O_WRONLY | NONBLOCK | NOFOLLOW)
        with os.fdopen(handle, "a", encoding="utf-8") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise OSError(errno.EINVAL, "not a regular file")
            file.write(text)


def regular_file(path: Path) -> Path:
    """Return `path` if it is a regular file or a link to one. Raises ValueError, which says what is there instead."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        kind = "is a broken link" if path.is_symlink() else "does not exist"
        raise ValueError(f"{path} {kind}: restore it") from None
    except OSError as error:
        raise ValueError(f"cannot read {path} ({error.strerror})") from None
    if not stat.S_ISREG(mode):
        raise ValueError(f"{path} is {file_kind(mode)}, not a file: remove it, or restore the file")
    return path


def read_text(path: Path) -> str:
    """The text of a regular file. Raises ValueError, which names the file, if it cannot be read or is not UTF-8."""
    try:
        return regular_file(path).read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ValueError(f"cannot read {path} ({reason})") from None


def file_kind(mode: int) -> str:
    """The type of a file with this `st_mode`, in words."""
    kinds = {
        stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
    }  # fmt: skip
    return kinds.get(stat.S_IFMT(mode), "a file")


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Turn an OSError in the block into one whose message says that `path` cannot be written, and why."""
    try:
        yield
    except OSError as error:
        if str(error).startswith("cannot write"):
            raise
        raise OSError(f"cannot write {path} ({error.strerror or error}): make room, or choose another folder") from None


def check_writable(folder: Path) -> None:
    """Raise OSError, which names `folder` and the reason, if no file can be made in it."""
    draft = draft_path(folder / "probe")
    with write_errors(folder):
        os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY | NOFOLLOW))
        draft.unlink()


def sync(file: Path) -> None:
    """Flush `file` to the disk, so that it survives a loss of power."""
    with file.open("rb") as handle:
        os.fsync(handle.fileno())
