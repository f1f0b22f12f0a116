"""Runs of one method grouped: their training seeds are pooled, and what tells the groups apart is their name."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar


class Trained(Protocol):
    """What is known of a run."""

    @property
    def source(self) -> Path: ...
    @property
    def preset(self) -> str: ...
    @property
    def settings(self) -> dict[str, Any]:
        """Those that change what is learned, by dotted names."""

    @property
    def seed(self) -> int: ...


Kind = TypeVar("Kind", bound=Trained)


@dataclass(frozen=True)
class Group(Generic[Kind]):
    """Runs of one preset and equal settings, by their seeds."""

    name: str
    preset: str
    settings: dict[str, Any]  # that tell it from other groups of its preset
    runs: tuple[Kind, ...]


def grouped(runs: Sequence[Kind]) -> list[Group[Kind]]:
    """`runs` in groups, in the order in which each group's first run is given.

    Runs of one preset and equal settings are a group, whatever their training seeds; runs of one preset with other
    settings are another group, whose name says what differs. Raises ValueError for a seed given twice.
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
        kin = [others[0].settings for others in found.values() if others[0].preset == first.preset]
        differing = _differing(first.settings, kin)
        words = [f"{name} {_words(value)}" for name, value in differing.items()]
        name = ", ".join([first.preset.removeprefix(prefix), *words])
        groups.append(Group(name, first.preset, differing, tuple(ordered)))
    return groups


def common(presets: set[str]) -> str:
    """What the names of several presets, TASK-METHOD, begin with, whole words and a hyphen each; "" for one."""
    if len(presets) == 1:
        return ""
    columns = zip(*(preset.split("-")[:-1] for preset in presets), strict=False)
    return "".join(f"{words[0]}-" for words in takewhile(lambda words: len(set(words)) == 1, columns))


def _differing(settings: dict[str, Any], kin: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Those of `settings` that some of `kin` have otherwise."""
    kin = list(kin)
    names = sorted({name for one in kin for name in one})
    return {n: settings.get(n) for n in names if any(one.get(n) != settings.get(n) for one in kin)}


def _words(value: Any) -> str:
    return "/".join(map(str, value)) if isinstance(value, list) else str(value)
