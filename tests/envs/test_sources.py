"""What an environment is named by: functions with arguments, and modules that lack something."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import pytest
from own_envs import Line

from metarl.envs.sources import import_here, kind_of
from metarl.envs.tasked import Tasked


def test_a_partial_class_has_the_name_of_the_class() -> None:
    kind = kind_of(partial(Line))
    assert isinstance(kind, Tasked)
    assert kind.name == "Line"


@pytest.mark.parametrize(
    ("imported", "remedy"),
    [("nowhere_else", "correct this error first"), (None, "start in its folder, or add that to PYTHONPATH")],
)
def test_the_remedy_is_for_what_is_missing(
    imported: str | None, remedy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The module itself, which lies in another folder, or one that it imports."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    if imported is not None:
        (tmp_path / "with_a_lack.py").write_text(f"import {imported}\n")
    with pytest.raises(ValueError, match=rf"\Athe module with_a_lack cannot be imported \(ModuleNot.*: {remedy}.*\Z"):
        import_here("with_a_lack")
