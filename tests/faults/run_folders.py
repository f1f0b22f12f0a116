"""Damaged run folders, the command that reads each, and what has to come of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import damages
from edited_configs import EDITS, edited, shown

RESUME = ("train", "--resume", "RUN")
EVALUATE = ("evaluate", "RUN", "--steps", "1")
BEST = (*EVALUATE, "--checkpoint", "best")
COMPARE, PLOT = ("compare", "RUN"), ("plot", "RUN", "--out", "plot.png")
VIDEO = ("video", "RUN", "--out", "film.gif", "--steps", "1")
LAST, BEFORE = "checkpoints/00000006", "checkpoints/00000004"


@dataclass(frozen=True)
class Case:
    """A damage to a run of a kind, the command that then reads it, and what comes of it with what words.

    A run that is gone on with had stopped at iteration 4 (see `stop`), others are finished and evaluated. What is
    "done" leaves what a run that was never damaged leaves.
    """

    name: str
    damage: Callable[[Path], object]
    args: tuple[str, ...]
    expected: str
    words: tuple[str, ...] = ()
    kind: str = "sinusoid"

    def __str__(self) -> str:
        return f"{self.name}: {self.args[0]}"


def stop(run: Path) -> None:
    """Let a finished run be one that was killed in its fifth iteration."""
    shutil.rmtree(run / LAST)
    lines = (run / "progress.csv").read_text().splitlines(keepends=True)
    (run / "progress.csv").write_text("".join(lines[:6]))


def damaged(
    name: str, args: tuple[str, ...], expected: str, *words: str, only: dict[str, damages.Damage] = damages.ALL,
    kind: str = "sinusoid",
) -> Iterator[Case]:  # fmt: skip
    """A case for each way that the file `name` can be damaged."""
    for how, damage in only.items():
        yield Case(f"{name} {how}", lambda run, d=damage: d(run / name), args, expected, words, kind)


def without(*names: str) -> dict[str, damages.Damage]:
    return {name: damage for name, damage in damages.ALL.items() if name not in names}


def these(*names: str) -> dict[str, damages.Damage]:
    return {name: damages.ALL[name] for name in names}


def cases() -> Iterator[Case]:
    for args in (RESUME, EVALUATE, PLOT):
        yield from damaged("config.json", args, "refused", "config.json", only=without("flipped bit"))
    for name in ("weights.safetensors", "state.pt", "progress.csv", "checkpoint.json"):
        for args, checkpoint in ((RESUME, BEFORE), (EVALUATE, LAST), (BEST, LAST)):
            few = without("flipped bit") if name == "checkpoint.json" else damages.ALL  # a bit may be one of a time
            yield from damaged(f"{checkpoint}/{name}", args, "refused", checkpoint, "damaged", only=few)
    yield from progress()
    yield from damaged("validation.json", BEST, "refused", "validation.json", only=without(*REPLACED, "flipped bit"))
    yield from damaged("validation.json", BEST, "done", only=these("gone"))
    yield from damaged("evaluation.json", COMPARE, "refused", "evaluation.json", only=without("flipped bit"))
    yield from damaged("evaluation.json", PLOT, "refused", "evaluation.json", only=without("gone", "flipped bit"))
    yield from damaged("evaluation.json", PLOT, "done", only=these("gone"))
    yield from folders()
    yield from inner_runs()
    yield from exchanged()
    for i, edit in enumerate(EDITS):
        args = (RESUME, EVALUATE)[i % 2]
        yield Case(f"config.json, {shown(edit)}", lambda run, e=edit: edited(run, e), args, "refused", ("config.json",))


REPLACED = ("gone", "dangling link")


def progress() -> Iterator[Case]:
    """progress.csv is restored from the checkpoint, and that is said."""
    file = "progress.csv"
    yield from damaged(file, RESUME, "done", "is incomplete", only=without("folder", "gone", "dangling link"))
    yield from damaged(file, RESUME, "done", "the file is missing", only=these("gone"))
    yield from damaged(file, RESUME, "refused", file, "directory", only=these("folder"))
    yield from damaged(file, PLOT, "refused", file, only=without("gone", "emptied", "cut", "flipped bit"))
    yield from damaged(file, PLOT, "refused", "no rows", only=these("emptied"))
    yield from damaged(file, PLOT, "done", only=these("gone"))  # the newest checkpoint has the same rows


def folders() -> Iterator[Case]:
    """The folder of checkpoints, its folders, the lock and TensorBoard's events."""
    here = these("gone", "pipe", "socket", "device", "dangling link", "link to itself", "unreadable")
    for args in (RESUME, EVALUATE):
        yield from damaged("checkpoints", args, "refused", "checkpoint", only=here)
    for how in ("pipe", "device", "dangling link", "unreadable", "folder"):
        yield from damaged(LAST, EVALUATE, "refused" if how in ("unreadable", "folder") else "done", only=these(how))
        yield from damaged(BEFORE, RESUME, "refused", only=these(how))
    for how, expected in (("folder", "refused"), ("pipe", "done"), ("device", "refused"), ("dangling link", "refused"),
                          ("link to itself", "refused"), ("garbage", "done")):  # fmt: skip
        yield from damaged(".lock", RESUME, expected, only=these(how))
    for how in ("gone", "emptied", "garbage", "cut"):
        yield Case(f"events {how}", lambda run, h=how: damages.ALL[h](next(run.glob("events.*"))), RESUME, "done")
    yield Case("no rights to write", lambda run: run.chmod(0o555), RESUME, "refused", ("Permission denied",))
    yield Case("no rights to read", lambda run: run.chmod(0), RESUME, "refused", ("Permission denied",))
    checkpoints = "checkpoints cannot be written"
    yield Case(checkpoints, lambda run: (run / "checkpoints").chmod(0o555), RESUME, "refused", ("Permission denied",))
    yield Case("half written files", half_written, RESUME, "done")
    for args in (RESUME, EVALUATE, PLOT, COMPARE, VIDEO):
        yield Case("no folder", shutil.rmtree, args, "refused", ("RUN",))
        yield Case("a file", lambda run: (shutil.rmtree(run), run.write_text("mine")), args, "refused", ("RUN",))
        yield Case("an empty folder", lambda run: (shutil.rmtree(run), run.mkdir()), args, "refused", ("RUN",))


def half_written(run: Path) -> None:
    for place in (run / ".0123456789abcdef.draft.json", run / "checkpoints" / ".0123456789abcdef.draft"):
        place.write_text("half")
    (run / "checkpoints" / ".fedcba9876543210.draft").mkdir()


def inner_runs() -> Iterator[Case]:
    """The run that a guided one imitates, and the pre-training before images."""
    expert = f"expert/{LAST}"
    for name in ("weights.safetensors", "checkpoint.json"):
        yield from damaged(f"{expert}/{name}", RESUME, "refused", "expert", only=CHANGES, kind="guided")
    yield from damaged("expert/config.json", RESUME, "refused", "expert", only=CHANGES, kind="guided")
    yield from damaged("expert", RESUME, "refused", "expert", only=these("pipe", "dangling link"), kind="guided")
    pretraining = "pretraining/checkpoints/00000100"
    for name in ("weights.safetensors", "state.pt", "checkpoint.json"):
        yield from damaged(f"{pretraining}/{name}", RESUME, "refused", "pretraining", only=CHANGES, kind=IN_PRETRAINING)
    file = "pretraining/config.json"
    yield from damaged(
        file, RESUME, "refused", "pretraining", only=these("emptied", "cut", "pipe"), kind=IN_PRETRAINING
    )
    file = "pretraining/progress.csv"
    yield from damaged(file, RESUME, "done", "progress.csv", only=these("gone", "cut", "NULs"), kind=IN_PRETRAINING)
    yield from damaged("pretraining", RESUME, "done", only=these("gone"), kind=IN_PRETRAINING)


CHANGES = these("gone", "emptied", "cut", "flipped bit", "pipe")
IN_PRETRAINING = "long pre-training"


def exchanged() -> Iterator[Case]:
    """Checkpoints of another run, of another iteration, of another net."""
    yield Case("an older checkpoint as the newest", copied(BEFORE, LAST), EVALUATE, "refused", ("of iteration 4",))
    yield Case("a checkpoint without number", copied(BEFORE, "checkpoints/last"), RESUME, "done")
    for kind in ("sinusoid", "half-cheetah"):
        yield Case(f"a checkpoint of another {kind} run", foreign(kind), EVALUATE, "refused", ("another run",))
    yield Case("another id", lambda run: edited(run, ("run", "")), EVALUATE, "refused", ("another run",))
    yield Case("another net", lambda run: edited(run, ("settings", "task", "hidden", [7])), EVALUATE, "refused",
               ("does not match the settings",))  # fmt: skip


def copied(source: str, target: str) -> Callable[[Path], object]:
    def copy(run: Path) -> None:
        shutil.rmtree(run / target, ignore_errors=True)
        shutil.copytree(run / source, run / target)

    return copy


def foreign(kind: str) -> Callable[[Path], object]:
    """Another run's checkpoint; `OTHER` is a folder with finished runs beside the run, which the test makes."""

    def put(run: Path) -> None:
        shutil.rmtree(run / LAST)
        shutil.copytree(run.parent / "others" / kind / LAST, run / LAST)

    return put


CASES = list(cases())
