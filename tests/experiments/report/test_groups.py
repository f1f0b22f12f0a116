"""Groups of runs: which are pooled, in which order, and the names that tell them apart."""

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from metarl.experiments.report.groups import common, grouped


class Made(NamedTuple):
    source: Path
    preset: str
    settings: dict[str, Any]
    seed: int


def made(preset: str, seed: int = 0, **settings: Any) -> Made:
    return Made(Path(f"{preset}-{seed}"), preset, settings, seed)


def test_seeds_of_equal_settings_are_a_group_in_the_order_given() -> None:
    runs = [made("wave-b", 2, lr=0.1), made("wave-a", lr=0.1), made("wave-b", 1, lr=0.1)]
    b, a = grouped(runs)
    assert (b.name, b.preset, b.settings, b.runs) == ("b", "wave-b", {}, (runs[2], runs[0]))
    assert (a.name, a.runs) == ("a", (runs[1],))


def test_other_settings_name_a_group() -> None:
    groups = grouped([made("wave-a", lr=0.1, hidden=[4, 4]), made("wave-a", lr=0.1, hidden=[8]), made("wave-a")])
    assert [group.name for group in groups] == [
        "wave-a, hidden 4/4, lr 0.1", "wave-a, hidden 8, lr 0.1", "wave-a, hidden None, lr None",
    ]  # fmt: skip
    assert groups[1].settings == {"hidden": [8], "lr": 0.1}


def test_a_seed_given_twice() -> None:
    with pytest.raises(ValueError, match=r"^wave-a-3 and wave-a-3 are both seed 3 of wave-a: give one of the two$"):
        grouped([made("wave-a", 3), made("wave-a", 3)])
    assert len(grouped([made("wave-a", 3), made("wave-a", 3, lr=1)])) == 2


def test_words_that_all_presets_begin_with() -> None:
    assert common({"wave-10shot-a", "wave-10shot-b-c"}) == "wave-10shot-"
    assert common({"wave-a", "image-a"}) == ""
    assert common({"wave-a"}) == ""
