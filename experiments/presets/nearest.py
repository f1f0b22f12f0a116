"""The nearest of known names to one that is not known, for messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str:
    """What of `known` may have been meant by `name`, or else all of it, to follow a colon in a message."""
    names = list(known)
    return similar(name, names) or f"choose one of {', '.join(names)}"


def similar(name: str, known: Iterable[str]) -> str:
    """What of `known` may have been meant by `name`, as a question; "" where nothing is near."""
    near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.4)
    return f"did you mean {' or '.join(near)}?" if near else ""
