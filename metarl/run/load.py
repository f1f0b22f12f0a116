"""Run folders as they are named: `load` gives back what was trained, `resume` goes on, whoever made the folder."""

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
    """The trained learner and the tasks of the run folder `run`, or of a trained initialisation, "pretrained:NAME".

    `given` are, by their names, the parts that the folder of a script's run cannot give back (learner, tasks,
    validation, test: a net of a class that does not remember its arguments, say); for a run of the command line,
    `device`, a torch.device, and `data`, where its images lie now. Raises ValueError where there is no such run, where
    it is damaged, and where a part is needed and not given.
    """
    folder = RunFolder.open(resolve_run(run))
    trained: Trained = _maker(folder).restore_run(folder, **given)
    return trained


def load_options(device: torch.device, data: str | None) -> dict[str, Any]:
    """What `load` and `resume` are given where another device than the CPU, or another data folder, is asked for."""
    return ({} if device.type == "cpu" else {"device": device}) | ({} if data is None else {"data": data})


def resume(run: str | Path, **given: Any) -> None:
    """Go on with the run in the folder `run` from its newest checkpoint; `given` is as in `load`."""
    folder = RunFolder.open(Path(run))
    _maker(folder).resume(folder, **given)


def _maker(folder: RunFolder) -> ModuleType:
    """The module of this package that makes such run folders: it has `restore_run` and `resume`."""
    name = folder.config["made_by"]
    if name not in ("metarl.run.fit", "metarl.experiments.runner"):
        raise ValueError(f"{folder.path} was made by {name}, which this version of metarl does not know: train anew")
    return import_module(name)
