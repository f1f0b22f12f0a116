"""Run folders: the settings, progress and checkpoints of a run, written so that a killed process damages no file.

A folder holds config.json, progress.csv, TensorBoard events and checkpoints/NNNNNNNN/, where NNNNNNNN is the number of
finished iterations. Folders from others are safe to open: nothing in them is executed, and links are not written to.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from threadpoolctl import threadpool_info

from metarl import __version__
from metarl.core import Learner
from metarl.distributed import first
from metarl.files import check_writable, draft_path, read_text, remove_drafts, write_errors, write_text
from metarl.run.checkpoint import FILES, RECORD, Record, Training, read_record, read_state, read_weights, write

CHECKPOINTS, CONFIG = "checkpoints", "config.json"
OWN = (CONFIG, "progress.csv", "validation.json", ".lock", CHECKPOINTS, "expert", "pretraining")


class RunFolder:
    """The folder of one training run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = FileLock(path / ".lock")

    @classmethod
    def create(cls, path: Path, config: dict[str, Any], *, expert: RunFolder | None = None) -> RunFolder:
        """Make a new run folder with these settings and, in expert/, a copy of the run `expert` if one is given.

        A folder that a process killed at this point left incomplete is completed. Raises ValueError if the folder holds
        anything else, and OSError if it cannot be made.
        """
        if path.is_symlink() or (path.exists() and not (path.is_dir() and all(map(_begun, path.iterdir())))):
            raise ValueError(
                f"{path} is not empty and was left as it is: choose another --out, or continue a run there by "
                f"`metarl train --resume {path}`"
            )
        try:
            with write_errors(path):
                (path / CHECKPOINTS).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OSError(f"{error}: choose another --out") from None
        if expert is not None and not (path / "expert").exists():
            expert.copy(path / "expert")
        write_text(path / CONFIG, json.dumps({"run": secrets.token_hex(8), **config}, indent=2) + "\n")
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Open an existing run folder for reading. Raises ValueError if `path` is not one."""
        if not (path / CONFIG).exists():
            raise ValueError(f"{path} is not a run folder (it has no {CONFIG}): give one that `metarl train` made")
        for folder in (path / CHECKPOINTS, path / "pretraining", path / "expert"):
            if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
                raise ValueError(f"{folder} is not a folder of this run: restore it, or train again")
        return cls(path)

    def copy(self, path: Path) -> None:
        """Copy the settings and the newest checkpoint to a new run folder `path`, completely or not at all."""
        newest, draft = self.newest(), draft_path(path)
        read_record(newest)
        try:
            with write_errors(path):
                (draft / CHECKPOINTS / newest.name).mkdir(parents=True)
                for name in (*FILES, RECORD):
                    shutil.copyfile(newest / name, draft / CHECKPOINTS / newest.name / name)
                (draft / CONFIG).write_text(read_text(self.path / CONFIG))
                draft.rename(path)
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the folder for writing, and delete what a killed process left incomplete; of several, process 0 does so.

        Raises ValueError while another process has the lock, and OSError if the folder cannot be written to.
        """
        if not first():
            yield
            return
        with write_errors(self.path):
            try:
                self._lock.acquire(timeout=0)
            except Timeout:
                raise ValueError(f"another process trains in {self.path}: stop it, or use another folder") from None
        try:
            for folder in (self.path, self.path / CHECKPOINTS):
                with write_errors(folder):
                    folder.mkdir(exist_ok=True)
                    remove_drafts(folder)
                check_writable(folder)
            yield
        finally:
            self._lock.release()

    @property
    def config(self) -> dict[str, Any]:
        """The content of config.json: what was given to `create`, and the run's id under "run"."""
        file = self.path / CONFIG
        try:
            config = json.loads(read_text(file))
            if not isinstance(config, dict):
                raise ValueError("it has no settings")
            for name, kind in (("run", str), ("made_by", str), ("preset", str), ("settings", dict), ("versions", dict)):
                if not isinstance(config.get(name), kind):
                    raise ValueError(f"it has no {name}")
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{file} is damaged ({error}): restore it or train again") from None
        if (made := config["versions"].get("metarl")) != __version__:
            raise ValueError(
                f"{self.path} was made by metarl {made}, and this is {__version__}: install {made}, or train again"
            )
        return config

    def checkpoints(self) -> list[int]:
        """The iterations after which there is a checkpoint, in increasing order."""
        return sorted(int(p.name) for p in (self.path / CHECKPOINTS).glob("*") if p.name.isdecimal() and p.is_dir())

    def checkpoint(self, iteration: int) -> Path:
        """The folder of the checkpoint after `iteration` finished iterations."""
        return self.path / CHECKPOINTS / f"{iteration:08d}"

    def newest(self) -> Path:
        """The folder of the newest checkpoint. Raises ValueError if there is none."""
        found = self.checkpoints()
        if not found:
            raise ValueError(f"{self.path} has no checkpoint yet: train for longer, or delete it and start again")
        return self.checkpoint(found[-1])

    def save(self, training: Training, record: Record, progress: str, *, keep: set[int] | None = None) -> None:
        """Write a checkpoint, then remove older ones, except for the last of them and those in `keep` (None: all)."""
        if record.iteration not in self.checkpoints():
            write(self.checkpoint(record.iteration), training, record, progress)
        if keep is not None:
            for iteration in self.checkpoints()[:-2]:
                if iteration not in keep:
                    self.remove(iteration)

    def remove(self, iteration: int) -> None:
        """Remove a checkpoint atomically: it is renamed before its files are deleted."""
        path = self.checkpoint(iteration)
        gone = draft_path(path)
        with write_errors(path):
            path.rename(gone)
            shutil.rmtree(gone)

    def record(self, iteration: int | None = None) -> Record:
        """The record of the newest checkpoint, or of that after `iteration`. Raises ValueError if it is damaged."""
        found = self.checkpoints()
        if iteration is not None and iteration not in found:
            there = ", ".join(map(str, found)) or "none"
            raise ValueError(f"{self.path} has no checkpoint after iteration {iteration}: it has {there}")
        path = self.newest() if iteration is None else self.checkpoint(iteration)
        record = read_record(path)
        if record.run != self.config["run"]:
            raise ValueError(f"{path} is a checkpoint of another run: replace it by this run's own, or delete it")
        return record

    def load_weights(self, learner: Learner, *, iteration: int | None = None) -> Record:
        """Load the newest weights, or those after `iteration`, into `learner`; return the checkpoint's record."""
        record = self.record(iteration)
        read_weights(self.checkpoint(record.iteration), learner)
        return record

    def load(self, training: Training) -> tuple[Record, str]:
        """Load the newest checkpoint into `training` and its learner; return its record and its progress.csv."""
        record = self.load_weights(training.learner)
        path = self.checkpoint(record.iteration)
        read_state(path, training)
        return record, read_text(path / "progress.csv")


def versions() -> dict[str, str]:
    """The versions of the packages on which a run's results depend, and under "blas" the kernels of NumPy's BLAS.

    BLAS chooses its kernels by the processor. Their results differ in the last bit, which chaotic physics amplifies.
    """
    packages = ("torch", "mujoco", "gymnasium", "numpy")
    found = {"metarl": __version__, **{package: version(package) for package in packages}}
    blas = [library for library in threadpool_info() if library["user_api"] == "blas"]
    found["blas"] = " ".join(str(blas[0].get(key)) for key in ("internal_api", "architecture")) if blas else "unknown"
    return found


def _begun(path: Path) -> bool:
    """Whether `path` may be part of a run folder that a killed process left incomplete."""
    hidden = path.name == ".lock" or ".draft" in path.name
    return hidden or path.name == "expert" or (path.name == CHECKPOINTS and path.is_dir() and not any(path.iterdir()))


def owner(path: Path) -> Path | None:
    """The run folder of which `path`, a resolved path, is a part that must not be replaced; None if there is none."""
    for folder in path.parents:
        if (folder / CONFIG).is_file() and (folder / CHECKPOINTS).is_dir():
            first = path.relative_to(folder).parts[0]
            if first in OWN or first.startswith("events."):
                return folder
    return None
