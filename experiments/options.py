"""Command-line options: tyro reads them into dataclasses of settings, which say themselves what they take.

A word that tyro cannot read as its setting's type is passed on as it is: the dataclass then refuses it in the same
words as a config.json or a constructor. So a mistake is one line, whoever finds it.
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

RULE = "╰╯─+-"


def read_options(kind: Any, args: Sequence[str], prog: str, **options: Any) -> Any:
    """What `args` spell, of the dataclass `kind`; `options` are tyro's. Raises ValueError, in one line, for a mistake.

    --help is printed, as SystemExit with status 0.
    """
    if own := [word for word in args if word.startswith("--tyro")]:  # it would write any file, and knows no mistake
        raise ValueError(f"Unrecognized options: {own[0]}: see {prog} --help")
    said = io.StringIO()
    try:
        with redirect_stderr(said):
            return tyro.cli(kind, args=args, prog=prog, registry=REGISTRY, **options)
    except SystemExit as stop:
        if not stop.code:
            raise
        cause, box = _cause(stop), said.getvalue()
        raise ValueError(str(cause) if cause else f"{_line(box)}: {_similar(box)}see {prog} --help") from None


def _as_it_is(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """How tyro reads the type of `info`, but for words that it would refuse."""
    global _asking
    if _asking:
        return None
    _asking = True  # what tyro's own rules say of the type, and of those inside it
    try:
        spec = ConstructorRegistry.get_primitive_spec(info)
    finally:
        _asking = False
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


_asking = False
REGISTRY = ConstructorRegistry()
REGISTRY.primitive_rule(_as_it_is)


def _cause(error: BaseException) -> ValueError | None:
    """The message of a settings' own that tyro has caught and shown in a box."""
    found = error.__context__
    while found is not None and not isinstance(found, ValueError):
        found = found.__context__
    return found


def _line(box: str) -> str:
    """What tyro says first in its box, as a line."""
    words: list[str] = []
    for row in box.splitlines()[1:]:  # after its title
        text = row.strip("│| ")
        if not set(text) - set(RULE):
            if words:
                break
            continue
        words.append(text)
    return " ".join(words).rstrip(".")


def _similar(box: str) -> str:
    """The options that tyro finds nearest to those it does not know, as a question; "" where none is near."""
    found = sorted(re.findall(r"(?:Perhaps you meant|similar to --[^:]*):.*?(--[\w.-]+)", box, re.DOTALL))
    return f"did you mean {' and '.join(found)}? " if found else ""
