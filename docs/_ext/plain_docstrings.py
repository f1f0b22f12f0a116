"""Docstrings are plain text: what reStructuredText would take for markup is escaped, and `names` become code."""

import re
from typing import Any

from sphinx.application import Sphinx

CODE = re.compile(r"(`[^`]+`)")
MARKUP = re.compile(r"([\\*_|<>\[\]])")


def plain(line: str) -> str:
    """One line of a docstring as reStructuredText that reads as it stands."""
    indent = line[: len(line) - len(line.lstrip())]
    pieces = CODE.split(line[len(indent) :])
    return indent + "".join(f"`{p}`" if p.startswith("`") else MARKUP.sub(r"\\\1", p) for p in pieces)


def convert(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Rewrite a docstring in place; a list that follows a line of text gets the blank line it needs."""
    if not str(getattr(obj, "__module__", None) or "metarl").startswith("metarl"):
        del lines[1:]  # of another library, in a markup of its own
    converted: list[str] = []
    for line in lines:
        item = line.lstrip().startswith("- ")
        if item and converted and converted[-1].strip() and not converted[-1].lstrip().startswith(("- ", "  ")):
            converted.append("")
        converted.append(plain(line))
    lines[:] = converted


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("autodoc-process-docstring", convert)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
