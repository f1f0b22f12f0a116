"""The types of the tables of presets, which contain plain values and can be read without importing torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from metarl.experiments.config.run import Config


class Made(NamedTuple):
    """A task, learner or outer loop: a public name of metarl or "module:name", with settings that are not defaults."""

    kind: str
    settings: Mapping[str, Any]


def made(kind: str, **settings: Any) -> Made:
    """A task, learner or outer loop with these settings, where `kind` is a public name of metarl or "module:name"."""
    return Made(kind, settings)


class Preset(NamedTuple):
    """An experiment: its task, its learner, its outer loop, and the other settings of the run (see `Config`)."""

    task: Made
    learner: Made
    algorithm: Made
    run: Mapping[str, Any]

    def but(self, changes: Mapping[str, Any]) -> Preset:
        """A copy with changed settings, {"task.shots": 1, "meta_batch": 5}, or parts, {"learner": made(…)}."""
        parts: dict[str, Any] = self._asdict()
        for name, value in changes.items():
            part, dot, setting = name.rpartition(".")
            if name in parts:
                parts[name] = value
            elif dot:
                parts[part] = parts[part]._replace(settings={**parts[part].settings, setting: value})
            else:
                parts["run"] = {**parts["run"], name: value}
        return Preset(**parts)

    def config(self) -> Config:
        """The dataclass of the settings, which are checked."""
        from metarl.experiments.config.derived import settings_class  # imports torch
        from metarl.experiments.config.run import Config

        made: dict[str, Any] = {
            name: settings_class(part.kind)(**part.settings) for name, part in self._asdict().items() if name != "run"
        }
        return Config(**made, **self.run)


class Task(NamedTuple):
    """A task and its presets, whose names are NAME-METHOD."""

    name: str
    about: str  # a short description
    presets: Mapping[str, Preset]  # by method

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that have a preset for this task."""
        return tuple(self.presets)
