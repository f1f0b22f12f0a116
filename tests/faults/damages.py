"""What can become of a file: it is gone, cut, changed, or something else lies in its place."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path


def gone(file: Path) -> None:
    shutil.rmtree(file) if file.is_dir() else file.unlink(missing_ok=True)


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def cut(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])


def zeroed(file: Path) -> None:
    """A block of NULs in the middle, as a file system leaves after a loss of power."""
    content = file.read_bytes()
    third = len(content) // 3
    file.write_bytes(content[:third] + bytes(third) + content[2 * third :])


def flipped(file: Path) -> None:
    """A bit in the middle."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def garbage(file: Path) -> None:
    file.write_bytes(bytes(range(128, 256)) * 4)


def folder(file: Path) -> None:
    gone(file)
    file.mkdir()
    (file / "something").touch()


def pipe(file: Path) -> None:
    gone(file)
    os.mkfifo(file)


def a_socket(file: Path) -> None:
    gone(file)
    with chdir(file.parent), socket.socket(socket.AF_UNIX) as server:  # a socket's path has 107 bytes at most
        server.bind(file.name)


def device(file: Path) -> None:
    gone(file)
    file.symlink_to("/dev/zero")


def dangling(file: Path) -> None:
    gone(file)
    file.symlink_to(file.parent / "nothing")


def loop(file: Path) -> None:
    gone(file)
    file.symlink_to(file.name)


def unreadable(file: Path) -> None:
    file.chmod(0)


Damage = Callable[[Path], None]
OTHERS: dict[str, Damage] = {
    "folder": folder, "pipe": pipe, "socket": a_socket, "device": device, "dangling link": dangling,
    "link to itself": loop,
}  # fmt: skip
CONTENTS: dict[str, Damage] = {"emptied": emptied, "cut": cut, "NULs": zeroed, "garbage": garbage}
ALL: dict[str, Damage] = {"gone": gone, **CONTENTS, "flipped bit": flipped, "unreadable": unreadable, **OTHERS}
