"""Loading and resuming runs, whether the command line or a script made them."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from metarl.ranges import checked
from metarl.run.folder import RunFolder
from metarl.run.pretrained import resolve_run
from metarl.run.trained import Trained


@checked
def load(run: str | Path, **given: Any) -> Trained:
    """Load the trained learner and the tasks of a run: a run folder, or "pretrained:NAME" for weights in the package.

    `given` depends on what made the run. For a script's run it holds the objects that the folder cannot restore
    (learner, tasks, validation or test), such as a learner whose net does not remember its arguments. For a run of the
    command line it may hold `device`, a torch.device, and `data`, the folder of its images. Raises ValueError if there
    is no such run, if it is damaged, and if an object is needed and not given.
    """
    folder = RunFolder.open(resolve_run(run))
    trained: Trained = _maker(folder).restore_run(folder, **given)
    return trained


def load_options(device: torch.device, data: str | None) -> dict[str, Any]:
    """The keyword arguments of `load` and `resume` for this device and data folder, without the defaults."""
    return ({} if device.type == "cpu" else {"device": device}) | ({} if data is None else {"data": data})


def resume(run: str | Path, **given: Any) -> None:
    """Continue the run in the folder `run` from its newest checkpoint. `given` is as in `load`."""
    folder = RunFolder.open(Path(run))
    _maker(folder).resume(folder, **given)


def _maker(folder: RunFolder) -> ModuleType:
    """The module that made the run folder. It defines `restore_run` and `resume`."""
    name = folder.config["made_by"]
    if name not in ("metarl.run.fit", "metarl.experiments.runner"):
        raise ValueError(f"{folder.path} was made by {name}, which this version of metarl does not know: train again")
    return import_module(name)
