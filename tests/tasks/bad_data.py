"""Damaged and hostile data folders: a table of what was done to good ones, and what the reader has to say.

`attempt(case)` makes the folder, reads it, and returns the error's message.
"""

from __future__ import annotations

import atexit
import codecs
import os
import pickle
import shutil
import signal
import socket
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from hashlib import md5
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
from pictures import class_folders, encoded, png, write, zipped
from PIL import Image

from metarl.tasks.datasets import cache as cache_module
from metarl.tasks.datasets import omniglot as omniglot_module
from metarl.tasks.datasets.folder import image_folder
from metarl.tasks.datasets.miniimagenet import miniimagenet
from metarl.tasks.datasets.omniglot import Archive, omniglot
from metarl.tasks.images import Images

SECONDS = 30
NOBODY = 65534
MINI = "mini-imagenet-cache-val.pkl"


Damage = Callable[[Path], object]


class Case(NamedTuple):
    name: str
    kind: str  # a key of MAKE and READ
    damage: Damage
    message: str  # a regular expression


# Good data ------------------------------------------------------------------------------------------------------------


def make_folder(folder: Path) -> None:
    for split in ("train", "val", "test"):
        class_folders(folder / split, 3, 2, prefix=f"{split}-")


def make_csv(folder: Path) -> None:
    """One image a class."""
    first = 0
    for split, classes in (("train", 64), ("val", 16), ("test", 20)):
        labels = [f"n{first + c:08d}" for c in range(classes)]
        for label in labels:
            write(folder / "images" / f"{label}.png", png(1))
        rows = ["filename,label", *(f"{label}.png,{label}" for label in labels)]
        (folder / f"{split}.csv").write_text("\n".join(rows) + "\n")
        first += classes


def make_pickle(folder: Path) -> None:
    put(folder, mini_cache())


def mini_cache(**change: Any) -> dict[str, Any]:
    classes = {f"n{c:08d}": [c] for c in range(16)}
    return {"image_data": np.zeros((16, 84, 84, 3), np.uint8), "class_dict": classes, **change}


def put(folder: Path, content: Any) -> None:
    write(folder / MINI, content if isinstance(content, bytes) else pickle.dumps(content))


ALPHABETS = {
    "images_background_small1": ("Balinese", "Early_Aramaic", "Greek"),
    "images_background_small2": ("Korean", "Tagalog"),
}


def make_zips(folder: Path) -> None:
    for name, alphabets in ALPHABETS.items():
        zipped(folder / f"{name}.zip", [f"{name}/{a}/character01/{d:02d}.png" for a in alphabets for d in range(20)])


def make_unpacked(folder: Path) -> None:
    for name, alphabets in ALPHABETS.items():
        for alphabet in alphabets:
            for d in range(20):
                write(folder / name / alphabet / "character01" / f"{d:02d}.png", png(d))


MAKE = {"folder": make_folder, "csv": make_csv, "pickle": make_pickle, "zips": make_zips, "unpacked": make_unpacked}


# Reading --------------------------------------------------------------------------------------------------------------


def read_folder(folder: Path) -> None:
    for split in ("train", "validation", "test"):
        Images(image_folder(folder, split, size=4), ways=3, shots=1, queries=1)


def read_mini(folder: Path) -> None:
    miniimagenet(folder, "validation")


def read_omniglot(folder: Path) -> None:
    known = {
        name: Archive(md5((ZIPS / f"{name}.zip").read_bytes()).hexdigest(), len(alphabets))
        for name, alphabets in ALPHABETS.items()
    }
    with mock.patch.object(omniglot_module, "SMALL", known):
        omniglot(folder, "test", protocol="small", size=4, download=False)


READ = {
    "folder": read_folder, "csv": read_mini, "pickle": read_mini, "zips": read_omniglot, "unpacked": read_omniglot,
}  # fmt: skip


@cache
def good(kind: str) -> Path:
    """A folder of good data, made once."""
    folder = Path(tempfile.mkdtemp(prefix="metarl-good-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    MAKE[kind](folder)
    folder.chmod(0o755)
    return folder


ZIPS = good("zips")  # the authors', for these tests: their checksums are those to be found


def attempt(case: Case) -> str:
    """What the reader says of a case's data. Raises TimeoutError where it hangs, AssertionError where it is silent."""
    Image.init()
    codecs.lookup("cp437")  # load what images and zips need while it may be read
    with tempfile.TemporaryDirectory() as outer:
        os.chmod(outer, 0o777)
        data = Path(outer) / "data"
        shutil.copytree(good(case.kind), data)
        data.chmod(0o755)
        case.damage(data)
        try:
            with (
                within(SECONDS),
                mock.patch.object(cache_module.pooch, "os_cache", return_value=Path(outer) / "user"),
                unprivileged(),
            ):
                READ[case.kind](data)
        except ValueError as error:
            return str(error)
        finally:
            for path in data.rglob("*") if data.is_dir() else ():
                if path.is_dir() and not path.is_symlink():
                    path.chmod(0o755)
    raise AssertionError(f"{case.name} was taken in silence")


@contextmanager
def within(seconds: int) -> Iterator[None]:
    def late(*_: object) -> None:
        raise TimeoutError(f"nothing after {seconds} seconds")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def unprivileged() -> Iterator[None]:
    """Root may read everything: be somebody else."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


# Damage ---------------------------------------------------------------------------------------------------------------


def content(place: str, of: bytes) -> Damage:
    """`of` in a file."""
    return lambda folder: write(folder / place, of)


def instead(place: str, make: Damage) -> Damage:
    """What `make` makes where a file or folder was."""

    def damage(folder: Path) -> None:
        path = folder / place
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        make(path)

    return damage


def edited(place: str, change: Callable[[bytes], bytes]) -> Damage:
    return lambda folder: (folder / place).write_bytes(change((folder / place).read_bytes()))


def removed(place: str) -> Damage:
    return instead(place, lambda path: None)


def forbidden(place: str) -> Damage:
    return lambda folder: (folder / place).chmod(0)


def dangling(path: Path) -> None:
    path.symlink_to("gone")


def loop(path: Path) -> None:
    path.symlink_to(path.name)


def zeros(path: Path) -> None:
    path.symlink_to("/dev/zero")


def bound(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


def sparse(size: int) -> Damage:
    def make(path: Path) -> None:
        path.touch()
        os.truncate(path, size)

    return make


def header(width: int, height: int) -> bytes:
    """A PNG that says it is so large, and holds little."""

    def chunk(kind: bytes, of: bytes) -> bytes:
        return struct.pack(">I", len(of)) + kind + of + struct.pack(">I", zlib.crc32(kind + of))

    ihdr = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + ihdr + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def frames(suffix: str) -> bytes:
    many = [Image.new("L", (8, 8), 50 * i) for i in range(3)]
    return encoded(many[0], suffix, save_all=True, append_images=many[1:])


def of_mode(mode: str, suffix: str) -> bytes:
    return encoded(Image.new(mode, (8, 8)), suffix)
