"""Command-line options: tyro parses them into dataclasses, which check their values themselves.

A value that tyro cannot convert to the type of its setting is passed on unchanged, so that the dataclass raises the
same one-line error as for a value in config.json or in a constructor call.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from contextlib import redirect_stderr
from dataclasses import replace
from typing import Any

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

BORDER = "╰╯─+-"  # characters of the horizontal lines in tyro's error messages


def read_options(kind: Any, args: Sequence[str], prog: str, **options: Any) -> Any:
    """Parse `args` into the dataclass `kind`; `options` are passed to `tyro.cli`.

    Raises ValueError with a message of one line for invalid options, and SystemExit with status 0 after --help.
    """
    if own := [word for word in args if word.startswith("--tyro")]:  # tyro's own options, which could write any file
        raise ValueError(f"Unrecognized options: {own[0]}: see {prog} --help")
    errors = io.StringIO()
    try:
        with redirect_stderr(errors):
            return tyro.cli(kind, args=args, prog=prog, registry=REGISTRY, **options)
    except SystemExit as stop:
        if not stop.code:
            raise
        cause, box = _cause(stop), errors.getvalue()
        raise ValueError(str(cause) if cause else f"{_first_sentence(box)}: {_similar(box)}see {prog} --help") from None


def _lenient(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """Tyro's parser of a type, except that it returns values that are not of this type as strings."""
    global _looking_up
    if _looking_up:
        return None
    _looking_up = True  # so that tyro uses its own rules for this type and the types that it contains
    try:
        spec = ConstructorRegistry.get_primitive_spec(info)
    finally:
        _looking_up = False
    if not isinstance(spec, PrimitiveConstructorSpec):
        return None

    def read(words: list[str]) -> Any:
        try:
            if spec.choices and not set(words) <= set(spec.choices):
                raise ValueError
            return spec.instance_from_str(words)
        except (ValueError, OverflowError):
            return words[0] if len(words) == 1 else tuple(words)

    return replace(spec, instance_from_str=read, choices=None)


_looking_up = False
REGISTRY = ConstructorRegistry()
REGISTRY.primitive_rule(_lenient)


def _cause(error: BaseException) -> ValueError | None:
    """The error that the dataclass of settings raised, if tyro stopped because of one."""
    found = error.__context__
    while found is not None and not isinstance(found, ValueError):
        found = found.__context__
    return found


def _first_sentence(box: str) -> str:
    """The first paragraph of the message that tyro prints in a box, as one line."""
    words: list[str] = []
    for row in box.splitlines()[1:]:  # the first row is the title
        text = row.strip("│| ")
        if not set(text) - set(BORDER):
            if words:
                break
            continue
        words.append(text)
    return " ".join(words).rstrip(".")


def _similar(box: str) -> str:
    """A question that suggests the existing options nearest to an unknown one; "" if none is near."""
    found = sorted(re.findall(r"(?:Perhaps you meant|similar to --[^:]*):.*?(--[\w.-]+)", box, re.DOTALL))
    return f"did you mean {' and '.join(found)}? " if found else ""
