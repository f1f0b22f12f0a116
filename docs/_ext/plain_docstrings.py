"""Docstrings are plain text: what reStructuredText would take for markup is escaped, and `names` become code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

KEPT = re.compile(r"(`[^`]+`|(?<![\w*])\*\w[\w -]*\*(?![\w*]))")  # `code` and *emphasis*
MARKUP = re.compile(r"([\\*_|<>\[\]])")
ARGUMENT = re.compile(r"    ([\w\\]+): (.*)")


def plain(line: str) -> str:
    """One line of a docstring as reStructuredText that reads as it stands."""
    indent = line[: len(line) - len(line.lstrip())]
    pieces = KEPT.split(line[len(indent) :])  # what is kept stands at odd places
    pieces[::2] = [MARKUP.sub(r"\\\1", piece) for piece in pieces[::2]]
    return indent + "".join(f"`{piece}`" if piece.startswith("`") else piece for piece in pieces)


def with_fields(lines: list[str]) -> Iterator[str]:
    """Converted lines with each "name: text" below a line "Args:" as a parameter's field."""
    inside = False
    for line in lines:
        inside = line == "Args:" or (inside and line.startswith("    "))
        if inside and (argument := ARGUMENT.match(line)):
            name, text = argument.groups()
            yield f":param {name.replace(chr(92), '')}: {text}"
        elif line != "Args:":
            yield line


def convert(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Rewrite a docstring in place. A list gets the blank line that it needs before it, and arguments become fields."""
    if not str(getattr(obj, "__module__", None) or "metarl").startswith("metarl"):
        del lines[1:]  # of another library, in a markup of its own
    converted: list[str] = []
    for line in lines:
        item = line.lstrip().startswith("- ")
        if item and converted and converted[-1].strip() and not converted[-1].lstrip().startswith(("- ", "  ")):
            converted.append("")
        converted.append(plain(line))
    lines[:] = with_fields(converted)


def skip(app: Sphinx, what: str, name: str, obj: Any, skipped: bool, options: Any) -> bool | None:
    """Leave out the fields of named tuples: the signature has them."""
    return True if type(obj).__name__ == "_tuplegetter" else None


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("autodoc-process-docstring", convert)
    app.connect("autodoc-skip-member", skip)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
