"""What the tables of presets are made of: plain values, so that `metarl list` reads them at once, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from metarl.experiments.config.run import Config


class Made(NamedTuple):
    """A part of an experiment: a public name of metarl or "module:name", and the settings that are not its defaults."""

    kind: str
    settings: Mapping[str, Any]


def made(kind: str, **settings: Any) -> Made:
    """The part of this kind with these settings."""
    return Made(kind, settings)


class Preset(NamedTuple):
    """An experiment: its task, its learner, its outer loop, and the settings of the run (`Config`)."""

    task: Made
    learner: Made
    algorithm: Made
    run: Mapping[str, Any]

    def but(self, changes: Mapping[str, Any]) -> Preset:
        """The same with some settings changed: {"task.shots": 1, "meta_batch": 5}, or a part: {"learner": made(…)}."""
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
        """The settings, each of which has been checked."""
        from metarl.experiments.config.derived import settings_class  # imports torch
        from metarl.experiments.config.run import Config

        made: dict[str, Any] = {
            name: settings_class(part.kind)(**part.settings) for name, part in self._asdict().items() if name != "run"
        }
        return Config(**made, **self.run)


class Task(NamedTuple):
    """What presets train on: their names are NAME-METHOD."""

    name: str
    about: str
    presets: Mapping[str, Preset]  # by method

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that there are presets of."""
        return tuple(self.presets)
