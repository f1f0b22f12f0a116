"""The settings of all presets, with their defaults and their help on the command line."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from itertools import pairwise
from typing import Any, get_type_hints

from metarl.experiments.config.run import Config
from metarl.experiments.presets import PRESETS, preset


def settings_of(part: str) -> dict[str, type]:
    """The dataclasses of settings that the presets have for `part`, task, learner, algorithm or run, by their names."""
    if part == "run":
        return {"": Config}
    kinds = (type(getattr(preset(name), part)) for name in PRESETS)
    return {kind.__name__.removesuffix("Settings"): kind for kind in kinds}


def rows(kind: type, part: str) -> Iterator[tuple[str, str, str]]:
    """The option, the default and the help of each setting in the dataclass `kind`."""
    hints, texts = get_type_hints(kind, include_extras=True), documented(kind)
    for setting in fields(kind):
        if is_dataclass(setting.default) or setting.default is MISSING:
            continue
        option = next((m for m in getattr(hints[setting.name], "__metadata__", ()) if hasattr(m, "prefix_name")), None)
        name = (getattr(option, "name", None) or setting.name).replace("_", "-")
        prefix = "" if part == "run" or getattr(option, "prefix_name", None) is False else f"{part}."
        text = getattr(option, "help", None) or texts.get(setting.name, "")
        yield f"--{prefix}{name}", default_of(setting), in_markdown(" ".join(text.split()))


def in_markdown(text: str) -> str:
    """A help text as the cell of a table, with options as code."""
    return re.sub(r"(--[a-z][a-z.-]*)", r"`\1`", text.replace("|", r"\|"))


def documented(kind: type) -> dict[str, str]:
    """The strings after the attributes in the source of a class and of its base classes, by attribute."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        try:
            body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]
        except (OSError, TypeError):  # a class that is made from a constructor, or a built-in one
            continue
        for attribute, text in pairwise(getattr(body, "body", [])):
            match attribute, text:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(value))):
                    found[name] = value
    return found


def default_of(setting: Field[Any]) -> str:
    """The default of a setting as it is given on the command line."""
    value = setting.default
    if isinstance(value, tuple):
        return " ".join(map(str, value)) or "empty"
    return "empty" if value == "" else str(value)
