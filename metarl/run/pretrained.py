"""Trained initialisations in the package: run folders that are named "pretrained:NAME"."""

from __future__ import annotations

import difflib
from importlib.resources import files
from pathlib import Path

PREFIX = "pretrained:"
FOLDER = Path(str(files("metarl"))) / "weights"


def names() -> list[str]:
    """The names of the trained initialisations in the package."""
    return sorted(path.name for path in FOLDER.iterdir() if (path / "config.json").exists()) if FOLDER.is_dir() else []


def resolve_run(run: str | Path) -> Path:
    """The run folder of `run`, a path or "pretrained:NAME". Raises ValueError for an unknown name."""
    text = str(run)
    if not text.startswith(PREFIX):
        return Path(run)
    name = text.removeprefix(PREFIX)
    if name not in names():
        near = difflib.get_close_matches(name, names(), n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}?" if near else f"choose from {', '.join(names()) or 'none'}"
        raise ValueError(f"there is no trained initialisation {name!r}: {hint}")
    return FOLDER / name
