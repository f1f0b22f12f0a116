"""Presets, TASK-METHOD: every experiment that `metarl train` knows by name, at its published size.

They are tables of plain values, one for each kind of task. Nothing slow is imported, so `metarl list` is quick.
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
    """The settings of the preset called `name`. Raises ValueError, with the nearest names, when there is none."""
    if name not in PRESETS:
        hint = similar(name, PRESETS)
        raise ValueError(f"unknown preset {name!r}: {hint}{' ' * bool(hint)}`metarl list` shows all")
    return PRESETS[name].config()


__all__ = ["PRESETS", "TASKS", "Preset", "Task", "nearest", "preset", "similar"]
