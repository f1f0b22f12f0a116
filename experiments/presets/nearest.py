"""Suggestions of similar names in error messages for unknown names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str:
    """A question that suggests the names in `known` similar to `name`, or a list of all names if none is similar."""
    names = list(known)
    return similar(name, names) or f"choose one of {', '.join(names)}"


def similar(name: str, known: Iterable[str]) -> str:
    """A question that suggests the names in `known` that are similar to `name`; "" if none is similar."""
    near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.4)
    return f"did you mean {' or '.join(near)}?" if near else ""
