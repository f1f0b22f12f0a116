"""Faults of the file system: the command, the fault, and what has to come of it."""

from __future__ import annotations

import errno as os_errors
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TRAIN, RESUME = ("train",), ("train", "--resume", "RUN")
EVALUATE = ("evaluate", "RUN", "--steps", "1", "--json")
COMPARE, PLOT = ("compare", "RUN"), ("plot", "RUN", "--out")
VIDEO = ("video", "RUN", "--steps", "1", "--out")
REPRODUCE = ("reproduce", "sinusoid", "--methods", "maml", "--seeds", "0", "--fraction", "0.0001")
REPRODUCE = (*REPRODUCE, "--runs", "place", "--results", "results")
CODES = ("ENOSPC", "EDQUOT", "EIO", "EROFS", "EACCES", "ENAMETOOLONG", "EFBIG", "ENOENT")


@dataclass(frozen=True)
class Case:
    """A fault that a command meets. `injected` is for `injection.inject`; `laid` puts something into the folder."""

    name: str
    args: tuple[str, ...]
    expected: str = "refused"
    words: tuple[str, ...] = ()
    injected: dict[str, Any] = field(default_factory=dict)
    laid: Callable[[Path], object] | None = None
    stdout: str | None = None
    kind: str = "sinusoid"

    def __str__(self) -> str:
        return f"{' '.join(self.args[:2])}: {self.name}"


def failing_calls(args: tuple[str, ...], counts: dict[str, tuple[int, ...]], below: str, kind: str) -> Iterator[Case]:
    """The n-th of each kind of call fails, once or from then on, with one error after the other."""
    for call, places in counts.items():
        for n, at in enumerate(places):
            code = CODES[(n + len(call)) % len(CODES)]
            fault = {"call": call, "code": code, "at": at, "below": below, "once": bool(n % 2)}
            yield Case(
                f"{at}. {call} {code}", args, "refused", (os.strerror(getattr(os_errors, code)),), fault, kind=kind
            )


def small_files(args: tuple[str, ...], sizes: tuple[int, ...], kind: str = "sinusoid") -> Iterator[Case]:
    for size in sizes:
        reason = "ffmpeg could not write all" if args[-1].endswith(".mp4") else "File too large"
        yield Case(f"files of {size} bytes", args, "refused", (reason,), {"size": size}, kind=kind)


def cases() -> Iterator[Case]:
    calls = {"open": (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 18), "mkdir": (1, 2, 3, 4, 5), "replace": (1, 2, 3, 4, 5),
             "fsync": (1, 2, 3, 6, 9, 13)}  # fmt: skip
    yield from failing_calls(TRAIN, calls, "run", "sinusoid")
    calls = {"open": (1, 3, 6), "mkdir": (1,), "replace": (1, 2), "fsync": (1, 2, 4)}
    yield from failing_calls(RESUME, calls, "RUN", "sinusoid")
    yield from failing_calls(TRAIN, {"open": (4, 9, 14), "mkdir": (3, 4, 5), "replace": (2, 3)}, "run", "guided")
    yield from failing_calls(
        TRAIN, {"open": (4, 9, 14), "mkdir": (3, 4), "replace": (2, 3)}, "run", "pre-trained ProtoNet"
    )
    yield from small_files(TRAIN, (10, 200, 600, 1500, 3000, 6000))
    yield from small_files(RESUME, (10, 700, 3000))
    outputs = {
        EVALUATE: ("numbers.json",), PLOT: ("plot.png", "plot.pdf", "plot.svg"), VIDEO: ("film.gif", "film.mp4"),
        (*COMPARE, "--json"): ("table.json",), (*COMPARE, "--csv"): ("table.csv",), (*COMPARE, "--out"): ("p.png",),
    }  # fmt: skip
    for args, names in outputs.items():
        kind = "half-cheetah" if args == VIDEO else "sinusoid"
        for name in names:
            yield from small_files((*args, name), (100,) if args == VIDEO else (10, 100), kind)
            yield from failing_calls((*args, name), {"open": (1,), "replace": (1,), "fsync": (1,)}, "", kind)
        yield from named(args, Path(names[0]).suffix, kind)
    yield from failing_calls(REPRODUCE, {"mkdir": (1, 2, 3, 4), "replace": (1, 2, 3, 4, 5), "open": (1, 4, 9)}, "", "")
    yield from small_files(REPRODUCE, (10, 1500))
    for args in (("list",), ("--help",), ("train", "sinusoid-maml", "--help"), EVALUATE[:-1], COMPARE):
        yield Case("stdout is full", args, "refused", ("No space left on device",), stdout="/dev/full")
    yield Case("stdout is full at the end of training", RESUME, "refused", ("No space left",), stdout="/dev/full")


def named(args: tuple[str, ...], suffix: str, kind: str) -> Iterator[Case]:
    """An output that the user named, where there is something else."""
    out = f"out{suffix}"

    def case(name: str, laid: Callable[[Path], object] | None, expected: str = "refused", *words: str,
             file: str = out) -> Case:  # fmt: skip
        return Case(f"{args[-1]} {name}", (*args, file), expected, words, laid=laid, kind=kind)

    yield case("a device", lambda place: (place / out).symlink_to("/dev/full"), "refused", out, "a device")
    yield case("a pipe", lambda place: os.mkfifo(place / out), "refused", out, "a pipe")
    yield case("a folder", lambda place: (place / out).mkdir(), "refused", out, "a folder")
    yield case("a link to itself", lambda place: (place / out).symlink_to(out), "done")
    yield case("a read-only folder", read_only, "refused", "folder", file=f"closed/{out}")
    yield case("no folder", None, "refused", "folder does not exist", file=f"none/{out}")
    yield case("below a file", lambda place: (place / "file").touch(), "refused", "folder", file=f"file/{out}")
    yield case("a name too long", None, "refused", "File name too long", file="x" * 300 + suffix)
    yield case("/dev/null", None, "refused", "its name must end in", file="/dev/null")
    yield case("empty", None, "refused", "its name must end in", file="")
    yield case("in the run", None, "refused", "needs that file", file=f"RUN/checkpoints/{out}")
    yield case("the run's own", None, "refused", "RUN", file="RUN/config.json" if suffix == ".json" else "RUN")
    yield case("a link", lambda place: (place / out).symlink_to(place / f"other{suffix}"), "done")
    text = place_link(out, "other.txt")
    yield case("a link to another kind of file", text, "refused", "other.txt", "whose name ends in none")
    mine = place_link(f"RUN/{out}", f"../other{suffix}")
    yield case("a link in the run", mine, "refused", "a link in a run folder", file=f"RUN/{out}")


def place_link(name: str, target: str) -> Callable[[Path], object]:
    return lambda place: (place / name).symlink_to(target)


def read_only(place: Path) -> None:
    (place / "closed").mkdir()
    (place / "closed").chmod(0o555)


CASES = list(cases())
