"""Checkpoints: a folder each, with the weights, what training remembers, and a checksum of both."""

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
    """What trains a learner: an outer loop with its tasks, a baseline, or anything else that makes updates.

    `updates(start)` yields the metrics of iterations `start`, `start` + 1, … to the last, each after its update. What
    training remembers from one iteration to the next is in `state_dict`; the learner's weights are not.
    """

    learner: Learner

    def updates(self, start: int) -> Iterator[dict[str, float]]: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


@dataclass(frozen=True)
class Record:
    """What is behind a checkpoint: finished iterations, environment steps and seconds of training, and the run's id."""

    run: str
    iteration: int = 0
    env_steps: float = 0.0
    seconds: float = 0.0


def write(path: Path, training: Training, record: Record, progress: str) -> None:
    """Write a checkpoint as the new folder `path`: beside its place first, then renamed into it.

    `progress` is the text of progress.csv so far: whatever becomes of that file, the run can go on from here. Raises
    FloatingPointError for weights that are not finite, OSError where the folder cannot be written.
    """
    weights = {name: value.detach().cpu().contiguous() for name, value in training.learner.state_dict().items()}
    if wrong := _not_finite(weights, training.learner):
        when = f"after iteration {record.iteration}"
        raise FloatingPointError(f"{wrong} is not finite {when}: go on from an earlier checkpoint, which is whole")
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
    """The record of the checkpoint in the folder `path`, whose files are all there and as they were written.

    Raises ValueError, naming the folder, for a checkpoint that is incomplete, changed, or of another iteration.
    """
    try:
        stored = json.loads(read_text(path / RECORD))
        digests = stored.pop("sha256")
        record = Record(**stored)
        for name in FILES:
            with regular_file(path / name).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            if digest != digests[name]:
                raise ValueError(f"{name} is not as it was written")
        numbers = (record.iteration, record.env_steps, record.seconds)
        if not (isinstance(record.run, str) and all(isinstance(n, int | float) and math.isfinite(n) for n in numbers)):
            raise ValueError(f"{RECORD} holds no numbers")
        if record.iteration != int(path.name):
            raise ValueError(f"it is of iteration {record.iteration}")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OSError) as error:
        raise _damaged(path, error) from None
    return record


def read_weights(path: Path, learner: Learner) -> None:
    """Load the weights of the checkpoint in `path`, whose record was read before, into `learner`."""
    try:
        with safe_open(path / WEIGHTS, "pt") as file:
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a dict)
    except Exception as error:  # safetensors raises a type of its own for a file cut short
        raise _damaged(path, error) from None
    have, found = (
        {name: f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}" for name, value in tensors.items()}
        for tensors in (learner.state_dict(), weights)
    )
    for name in sorted(have.keys() | found.keys()):
        if have.get(name) != found.get(name):
            raise ValueError(
                f"{path} does not fit the settings in config.json: {name} is {found.get(name, 'missing')} there, not "
                f"{have.get(name, 'known')}; put the run's own checkpoint or settings back"
            )
    if wrong := _not_finite(weights, learner):
        raise _damaged(path, ValueError(f"{wrong} is not finite"))
    learner.load_state_dict(weights)


def read_state(path: Path, training: Training) -> None:
    """Load what `training` remembered at the checkpoint in `path`, whose record was read before."""
    try:
        training.load_state_dict(torch.load(path / STATE, weights_only=True, map_location="cpu"))
    except Exception as error:  # training may raise anything for another's state
        raise _damaged(path, error) from None


def evenly_spaced(iterations: list[int], most: int) -> list[int]:
    """At most `most` of the sorted `iterations`, evenly spaced: the last, and those before it; 0: all."""
    apart = max(1, math.ceil(len(iterations) / most)) if most else 1
    return iterations[::-1][::apart][::-1]


def _not_finite(weights: dict[str, Tensor], learner: Learner) -> str | None:
    """The first of `weights` that is NaN or, where it is learned, infinite; a bound among the buffers may be."""
    learned = {name for name, _ in learner.named_parameters()}
    wrong = {name: ~value.isfinite() if name in learned else value.isnan() for name, value in weights.items()}
    return next((name for name, where in wrong.items() if where.any()), None)


def _damaged(path: Path, error: Exception) -> ValueError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
    return ValueError(f"checkpoint {path} is damaged ({reason}): delete that folder to use the one before it, if any")
