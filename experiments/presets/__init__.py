"""Presets: the experiments that `metarl train` knows by their names, TASK-METHOD.

They are defined in tables of plain values, one for each kind of task. This package imports nothing slow, so that
`metarl list` is fast.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from metarl.experiments.presets import environments, images, sinusoid
from metarl.experiments.presets.nearest import nearest, similar
from metarl.experiments.presets.table import Preset, Task

if TYPE_CHECKING:
    from metarl.experiments.config.run import Config

TASKS: tuple[Task, ...] = (*sinusoid.TASKS, *images.TASKS, *environments.TASKS)
PRESETS: dict[str, Preset] = {
    f"{task.name}-{method}": made for task in TASKS for method, made in task.presets.items()
}


@cache
def preset(name: str) -> Config:
    """The settings of the preset `name`. Raises ValueError, with similar names, if it does not exist."""
    if name not in PRESETS:
        hint = similar(name, PRESETS)
        raise ValueError(f"unknown preset {name!r}: {hint}{' ' * bool(hint)}`metarl list` shows all")
    return PRESETS[name].config()


__all__ = ["PRESETS", "TASKS", "Preset", "Task", "nearest", "preset", "similar"]
