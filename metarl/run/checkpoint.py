"""Checkpoints: folders with the learner's weights, the state of training, progress.csv so far, and checksums."""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from metarl.core import Learner
from metarl.files import draft_path, read_text, regular_file, sync, write_errors

WEIGHTS, STATE, PROGRESS, RECORD = "weights.safetensors", "state.pt", "progress.csv", "checkpoint.json"
FILES = (WEIGHTS, STATE, PROGRESS)


class Training(Protocol):
    """The protocol of whatever trains a learner: an outer loop with its tasks, a baseline, and so on.

    `updates(start)` yields the metrics of iterations `start`, `start` + 1, … to the last, each after its update.
    `state_dict` holds all state that training keeps between iterations, except for the learner's weights.
    """

    learner: Learner

    def updates(self, start: int) -> Iterator[dict[str, float]]: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


@dataclass(frozen=True)
class Record:
    """The run's id and the iterations, environment steps and seconds of training that lie behind a checkpoint."""

    run: str
    iteration: int = 0
    env_steps: float = 0.0
    seconds: float = 0.0


def write(path: Path, training: Training, record: Record, progress: str) -> None:
    """Write a checkpoint to a new folder `path`, completely or not at all.

    `progress` is the text of progress.csv so far, so that a run can be resumed even if that file is lost. Raises
    FloatingPointError for weights that are not finite and OSError if the folder cannot be written.
    """
    weights = {name: value.detach().cpu().contiguous() for name, value in training.learner.state_dict().items()}
    if wrong := _not_finite(weights, training.learner):
        when = f"after iteration {record.iteration}"
        raise FloatingPointError(f"{wrong} is not finite {when}: resume from the last checkpoint, which is")
    state = io.BytesIO()
    torch.save(training.state_dict(), state)
    contents = {WEIGHTS: save(weights), STATE: state.getvalue(), PROGRESS: progress.encode()}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    contents[RECORD] = json.dumps({**asdict(record), "sha256": digests}, indent=2).encode()
    draft = draft_path(path)
    try:
        with write_errors(path):
            draft.mkdir()
            for name, content in contents.items():
                (draft / name).write_bytes(content)
                sync(draft / name)
            os.replace(draft, path)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def read_record(path: Path) -> Record:
    """Verify the files of the checkpoint in the folder `path` and return its record.

    Raises ValueError, which names the folder, if the checkpoint is incomplete, changed, or of another iteration.
    """
    try:
        stored = json.loads(read_text(path / RECORD))
        digests = stored.pop("sha256")
        record = Record(**stored)
        for name in FILES:
            with regular_file(path / name).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            if digest != digests[name]:
                raise ValueError(f"{name} was changed")
        numbers = (record.iteration, record.env_steps, record.seconds)
        if not (isinstance(record.run, str) and all(isinstance(n, int | float) and math.isfinite(n) for n in numbers)):
            raise ValueError(f"{RECORD} does not hold numbers")
        if record.iteration != int(path.name):
            raise ValueError(f"it is of iteration {record.iteration}")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OSError) as error:
        raise _damaged(path, error) from None
    return record


def read_weights(path: Path, learner: Learner) -> None:
    """Load the weights of the checkpoint in `path` into `learner`. `read_record` must have verified it."""
    try:
        with safe_open(path / WEIGHTS, "pt") as file:
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a dict)
    except Exception as error:  # safetensors raises its own error for a truncated file
        raise _damaged(path, error) from None
    have, found = (
        {name: f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}" for name, value in tensors.items()}
        for tensors in (learner.state_dict(), weights)
    )
    for name in sorted(have.keys() | found.keys()):
        if have.get(name) != found.get(name):
            raise ValueError(
                f"{path} does not match the settings in config.json: its {name} is {found.get(name, 'missing')}, and "
                f"the learner's is {have.get(name, 'missing')}; restore the run's own checkpoint or settings"
            )
    if wrong := _not_finite(weights, learner):
        raise _damaged(path, ValueError(f"{wrong} is not finite"))
    learner.load_state_dict(weights)


def read_state(path: Path, training: Training) -> None:
    """Load the state of `training` from the checkpoint in `path`. `read_record` must have verified it."""
    try:
        training.load_state_dict(torch.load(path / STATE, weights_only=True, map_location="cpu"))
    except Exception as error:  # load_state_dict may raise any error
        raise _damaged(path, error) from None


def evenly_spaced(iterations: list[int], most: int) -> list[int]:
    """At most `most` of the sorted `iterations`, evenly spaced and with the last one; 0 stands for all."""
    apart = max(1, math.ceil(len(iterations) / most)) if most else 1
    return iterations[::-1][::apart][::-1]


def _not_finite(weights: dict[str, Tensor], learner: Learner) -> str | None:
    """The name of the first of `weights` that is NaN or, unless it is a buffer, infinite; None if there is none."""
    learned = {name for name, _ in learner.named_parameters()}
    wrong = {name: ~value.isfinite() if name in learned else value.isnan() for name, value in weights.items()}
    return next((name for name, where in wrong.items() if where.any()), None)


def _damaged(path: Path, error: Exception) -> ValueError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
    return ValueError(f"checkpoint {path} is damaged ({reason}): delete this folder to use the checkpoint before it")
