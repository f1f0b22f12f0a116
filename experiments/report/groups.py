"""Grouping of runs by method: a group contains all seeds, and its name includes the settings that differ."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar


class Trained(Protocol):
    """A run that can be grouped."""

    @property
    def source(self) -> Path: ...
    @property
    def preset(self) -> str: ...
    @property
    def settings(self) -> dict[str, Any]:
        """The settings that are part of the method, by dotted names."""

    @property
    def seed(self) -> int: ...


Kind = TypeVar("Kind", bound=Trained)


@dataclass(frozen=True)
class Group(Generic[Kind]):
    """Runs of one preset with equal settings and different seeds."""

    name: str
    preset: str
    settings: dict[str, Any]  # those that differ between the groups of this preset
    runs: tuple[Kind, ...]  # ordered by seed


def grouped(runs: Sequence[Kind]) -> list[Group[Kind]]:
    """The groups of `runs`, in the order of the first run of each group.

    Runs of one preset with equal settings, except for the seed, are a group. The name of a group includes the settings
    in which it differs from other groups of its preset. Raises ValueError for a seed that is given twice.
    """
    found: dict[str, list[Kind]] = {}
    for run in runs:
        found.setdefault(json.dumps([run.preset, run.settings], sort_keys=True), []).append(run)
    prefix = common({run.preset for run in runs})
    groups = []
    for several in found.values():
        ordered = sorted(several, key=lambda run: run.seed)
        for one, other in pairwise(ordered):
            if one.seed == other.seed:
                both = f"{one.source} and {other.source}"
                raise ValueError(f"{both} are both seed {one.seed} of {one.preset}: give one of the two")
        first = ordered[0]
        all_settings = [others[0].settings for others in found.values() if others[0].preset == first.preset]
        differing = _differing(first.settings, all_settings)
        words = [f"{name} {_words(value)}" for name, value in differing.items()]
        name = ", ".join([first.preset.removeprefix(prefix), *words])
        groups.append(Group(name, first.preset, differing, tuple(ordered)))
    return groups


def common(presets: set[str]) -> str:
    """The words, each with a hyphen, with which the names TASK-METHOD of several presets begin; "" for one preset."""
    if len(presets) == 1:
        return ""
    columns = zip(*(preset.split("-")[:-1] for preset in presets), strict=False)
    return "".join(f"{words[0]}-" for words in takewhile(lambda words: len(set(words)) == 1, columns))


def _differing(settings: dict[str, Any], others: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Those of `settings` that have a different value in some of `others`."""
    others = list(others)
    names = sorted({name for other in others for name in other})
    return {n: settings.get(n) for n in names if any(other.get(n) != settings.get(n) for other in others)}


def _words(value: Any) -> str:
    return "/".join(map(str, value)) if isinstance(value, list) else str(value)
