"""Runs of several processes: a shared run folder, and checks that all processes compute the same."""

from __future__ import annotations

import hashlib
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import metarl
from metarl import distributed
from metarl.core import Learner
from metarl.run.folder import CONFIG, RunFolder, versions

VISIBLE_AFTER = 10.0  # seconds until a shared file system shows a new folder on other machines, at most


def open_together(path: Path, settings: dict[str, Any], open_or_create: Callable[[], RunFolder]) -> RunFolder:
    """The run folder `path`, which process 0 opens or creates by `open_or_create`, and which the others open.

    Raises ValueError, in all processes, if the settings or the code of a process differ from those of process 0, or if
    a process does not see the folder.
    """
    if distributed.count() == 1:
        return open_or_create()
    check_agreement(settings)
    run_id = distributed.run_on_first(lambda: open_or_create().config["run"])
    end = time.monotonic() + VISIBLE_AFTER
    while not (seen := (path / CONFIG).exists()) and time.monotonic() < end:
        time.sleep(0.1)
    seen = seen and RunFolder.open(path).config["run"] == run_id
    blind = [rank for rank, sees in enumerate(distributed.gather(seen)) if not sees]
    if blind:
        raise ValueError(
            f"process {blind[0]} does not see the run folder {path} of process 0: give a folder that is shared by all "
            "machines, by its absolute path"
        )
    return RunFolder.open(path)


def check_agreement(settings: dict[str, Any]) -> None:
    """Raise ValueError unless all processes have the same settings, code and versions of packages."""
    if distributed.count() == 1:
        return
    packages = {**versions(), "CPU capability": torch.backends.cpu.get_cpu_capability()}
    descriptions = distributed.gather({"settings": settings, "version": packages, "code": _code()})
    for rank, other in enumerate(descriptions):
        if (found := first_difference(descriptions[0], other)) is not None:
            name, first, its_own = found
            what = f"{name} (process 0: {first}, process {rank}: {its_own})"
            raise ValueError(f"processes differ in {what}: start all by the same command and installation")


def in_step(stop: bool, learner: Learner, iteration: int) -> bool:
    """Whether any process has `stop` set after this iteration. Raises ValueError if the weights of processes differ."""
    if distributed.count() == 1:
        return stop
    digest = 0
    for value in learner.state_dict().values():
        digest = zlib.crc32(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy(), digest)
    answers = distributed.gather((digest, stop))
    for rank, (other, _) in enumerate(answers):
        if other != answers[0][0]:
            raise ValueError(
                f"the weights of process {rank} differ from those of process 0 after iteration {iteration}: use "
                "processors of one type, and draw random numbers from the generator that `sample` receives"
            )
    return any(stop for _, stop in answers)


def first_difference(old: Any, new: Any, name: str = "") -> tuple[str, Any, Any] | None:
    """The first difference of two descriptions, as a dotted name and both values; None if they are equal."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys([*old, *new]):
            part = name if key == "arguments" else f"{name}.{key}".removeprefix(".")
            if (found := first_difference(old.get(key), new.get(key), part)) is not None:
                return found
        return None
    return None if old == new else (name, old, new)


def _code() -> dict[str, str]:
    """The checksum of each of the package's source files, by its path."""
    folder = Path(metarl.__file__).parent
    files = sorted(path for part in ("", "envs", "experiments") for path in (folder / part).rglob("*.py"))
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()[:12] for path in files}
