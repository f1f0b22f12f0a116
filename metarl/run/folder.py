"""Run folders: settings, progress and checkpoints on disk, written so that a killed process loses nothing whole.

A folder holds config.json, progress.csv, TensorBoard events and checkpoints/NNNNNNNN/, named by the number of finished
iterations, each with weights.safetensors and state.pt (loadable with `weights_only=True`). A checkpoint is written
beside its place and renamed into it. All are kept, so that the one to evaluate can be chosen on validation tasks.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
from filelock import FileLock, Timeout
from safetensors import safe_open
from safetensors.torch import save_file

from metarl.core import Learner
from metarl.files import sync, write_text


class Trained(Protocol):
    """What a checkpoint keeps: a learner, and what its training (an `Algorithm`, say) remembers between iterations."""

    learner: Learner

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class RunFolder:
    """The folder of one training run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = FileLock(path / ".lock")

    @classmethod
    def create(cls, path: Path, config: dict[str, Any]) -> RunFolder:
        """Make a new run folder. Raises ValueError where something is there already, OSError where none can be made."""
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise ValueError(
                f"{path} already holds something and was left as it is: choose another --out, "
                f"or go on with a run there by `metarl train --resume {path}`"
            )
        try:
            (path / "checkpoints").mkdir(parents=True)
            write_text(path / "config.json", json.dumps(config, indent=2) + "\n")
        except OSError as error:
            raise OSError(f"cannot write to {path} ({error.strerror or error}): choose another --out") from error
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Open an existing run folder for reading. Raises ValueError when it is not one."""
        if not (path / "config.json").is_file():
            raise ValueError(f"{path} is not a run folder (it has no config.json): give one that `metarl train` made")
        return cls(path)

    def copy(self, path: Path) -> None:
        """Copy the settings and the newest checkpoint to `path`, a new run folder; whole, or not at all."""
        newest, draft = self._newest(), path.with_name(f".{path.name}.draft")
        shutil.rmtree(draft, ignore_errors=True)
        shutil.copytree(newest, draft / "checkpoints" / newest.name)
        shutil.copyfile(self.path / "config.json", draft / "config.json")
        os.replace(draft, path)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Claim the folder for writing. Raises ValueError while another process writes to it."""
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise ValueError(f"another process trains in {self.path}: stop it, or use another folder") from None
        try:
            yield
        finally:
            self._lock.release()

    @property
    def config(self) -> dict[str, Any]:
        """What `create` was given."""
        try:
            config = json.loads((self.path / "config.json").read_text())
            if not isinstance(config, dict) or "preset" not in config:
                raise ValueError("no preset in it")
        except (ValueError, OSError) as error:
            raise ValueError(f"{self.path / 'config.json'} is damaged ({error}): restore it or train anew") from None
        return config

    def checkpoints(self) -> list[Path]:
        """Checkpoint folders, oldest first."""
        return sorted(p for p in (self.path / "checkpoints").glob("*") if p.name.isdigit())

    def save(self, iteration: int, algorithm: Trained, extra: dict[str, Any]) -> Path:
        """Write the checkpoint after `iteration` finished iterations."""
        final = self.path / "checkpoints" / f"{iteration:08d}"
        if final.exists():
            return final
        draft = final.with_name(f".{final.name}.draft")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        weights = {name: value.detach().cpu().contiguous() for name, value in algorithm.learner.state_dict().items()}
        save_file(weights, draft / "weights.safetensors", metadata={"preset": str(self.config["preset"])})
        torch.save({"iteration": iteration, "algorithm": algorithm.state_dict(), **extra}, draft / "state.pt")
        for file in draft.iterdir():
            sync(file)
        os.replace(draft, final)
        return final

    def load_weights(self, learner: Learner, *, iteration: int | None = None) -> int:
        """Load the newest weights, or those after `iteration`, into `learner`; returns the iterations behind them."""
        newest = self._newest() if iteration is None else self.path / "checkpoints" / f"{iteration:08d}"
        if newest not in self.checkpoints():
            there = ", ".join(str(int(p.name)) for p in self.checkpoints())
            raise ValueError(f"{self.path} has no checkpoint after iteration {iteration}: it has {there}")
        try:
            with safe_open(newest / "weights.safetensors", "pt") as file:
                trained = (file.metadata() or {}).get("preset")
                weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a dict)
        except Exception as error:  # safetensors raises its own type for a file cut short
            raise _damaged(newest, error) from None
        if trained != self.config["preset"]:
            raise ValueError(f"{newest} is of preset {trained}, this run of {self.config['preset']}: put its own back")
        have = {name: tuple(value.shape) for name, value in learner.state_dict().items()}
        found = {name: tuple(value.shape) for name, value in weights.items()}
        for name in sorted(have.keys() | found.keys()):
            if have.get(name) != found.get(name):
                raise ValueError(
                    f"{newest} does not fit the settings in config.json: {name} has shape {found.get(name)}, not "
                    f"{have.get(name)}; put the run's own checkpoint or settings back"
                )
        learner.load_state_dict(weights)
        return int(newest.name)

    def load(self, algorithm: Trained) -> dict[str, Any]:
        """Load the newest checkpoint into `algorithm` and its learner; returns its iteration and extras."""
        state = self.state(self.load_weights(algorithm.learner))
        try:
            algorithm.load_state_dict(state.pop("algorithm"))
        except Exception as error:  # an algorithm may raise anything for another's state
            raise _damaged(self._newest(), error) from None
        return state

    def state(self, iteration: int) -> dict[str, Any]:
        """What `save` kept after `iteration`: "iteration", "algorithm" and the extras."""
        checkpoint = self.path / "checkpoints" / f"{iteration:08d}"
        try:
            state: dict[str, Any] = torch.load(checkpoint / "state.pt", weights_only=True, map_location="cpu")
        except Exception as error:  # torch raises many types for a file cut short
            raise _damaged(checkpoint, error) from None
        return state

    def _newest(self) -> Path:
        found = self.checkpoints()
        if not found:
            raise ValueError(f"{self.path} has no checkpoint yet: train for longer, or delete it and start again")
        return found[-1]


def _damaged(checkpoint: Path, error: Exception) -> ValueError:
    reason = str(error).strip().splitlines() or [type(error).__name__]
    return ValueError(
        f"checkpoint {checkpoint} is damaged ({reason[0][:120]}): delete that folder to use the one before it, if any"
    )


OWN = ("config.json", "progress.csv", "validation.json", ".lock", "checkpoints", "expert", "pretraining")


def owner(path: Path) -> Path | None:
    """The run folder that cannot do without the file `path`, a resolved path; None where there is none."""
    for folder in path.parents:
        if (folder / "config.json").is_file() and (folder / "checkpoints").is_dir():
            first = path.relative_to(folder).parts[0]
            if first in OWN or first.startswith("events."):
                return folder
    return None
