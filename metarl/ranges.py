"""Checks of arguments against their annotations, which state each argument's type and range.

`@checked` checks the arguments of a function or constructor, `Settings` the fields of a dataclass: their types, the
lengths of tuples, ranges, and that every number is finite. Constructors, the command line and config.json thus refuse
the same values with the same messages. A new argument needs an annotation and nothing else.
"""

from __future__ import annotations

import inspect
import math
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache, wraps
from numbers import Integral, Real
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Range:
    """The numbers from `low` to `high`. `above` excludes `low`, and `below` excludes `high`."""

    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    below: bool = False

    def __contains__(self, value: float) -> bool:
        return (value > self.low if self.above else value >= self.low) and (
            value < self.high if self.below else value <= self.high
        )

    @property
    def words(self) -> str:
        """The range in words, to follow "a number"."""
        first, last = (f"{end:,}" if isinstance(end, int) else f"{end:g}" for end in (self.low, self.high))
        low = f"above {first}" if self.above else f"from {first}"
        high = f"below {last}" if self.below else f"to {last}"
        if not math.isfinite(self.high):
            return f" {low}" + " up" * (not self.above) if math.isfinite(self.low) else ""
        if not math.isfinite(self.low):
            return f" {high}" if self.below else f" up {high}"
        return f" {low}" + (" and up " if self.above > self.below else " and " if self.below else " ") + high


Positive = Annotated[float, Range(0, above=True)]
NonNegative = Annotated[float, Range(0)]
UnitInterval = Annotated[float, Range(0, 1)]
"""A number from 0 to 1, inclusive."""
Count = Annotated[int, Range(1)]
"""An integer from 1 up."""
Whole = Annotated[int, Range(0)]
"""An integer from 0 up."""


def checked(function: Function) -> Function:
    """Decorate a function or method so that each call checks the arguments against their annotations.

    A call with a wrong argument raises ValueError, whose one line names the argument, its value and what is allowed.
    """
    signature = inspect.signature(function)

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)  # raises TypeError for arguments that are unknown or missing
        hints = _hints(function)
        for name, value in bound.arguments.items():
            kind = signature.parameters[name].kind
            if name in hints and kind not in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
                check(hints[name], value, name)
        return function(*args, **kwargs)

    return call  # type: ignore[return-value]


class Settings:
    """The base of dataclasses whose instances check their fields against the annotations when they are made."""

    def __post_init__(self) -> None:
        kind: Any = type(self)
        hints = _hints(kind)
        for field in fields(self):  # type: ignore[arg-type]
            check(hints[field.name], getattr(self, field.name), field.name)
        self.check_together()

    def check_together(self) -> None:
        """Raise ValueError if fields contradict each other. Subclasses override this; by default it does nothing."""


def check(hint: Any, value: Any, name: str) -> None:
    """Raise ValueError unless `value`, an argument called `name`, conforms to the annotation `hint`."""
    if not _fits(hint, value):
        raise ValueError(f"{name} is {shown(value)}: give {_words(hint)}")


def shown(value: Any) -> str:
    """`value` as a message shows it: in full if it is short, otherwise its type and shape."""
    if isinstance(value, int) and abs(value) >= 10**60:
        return f"a number of some {int(math.log10(abs(value)))} digits"
    if value is None or isinstance(value, bool | Real | str):
        text = repr(value) if isinstance(value, str) else str(value)
        return text if len(text) <= 60 else f"{text[:56]} …"
    if isinstance(value, list | tuple) and len(text := str(value)) <= 60:
        return text
    if isinstance(value, type):
        return f"the class {value.__name__}"
    shape = f" of shape {list(value.shape)}" if isinstance(getattr(value, "shape", None), tuple) else ""
    return f"of the type {type(value).__name__}{shape}"


@cache
def _hints(function: Any) -> Mapping[str, Any]:
    return get_type_hints(function, include_extras=True)


def _fits(hint: Any, value: Any) -> bool:
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        ranges = [part for part in inner[1:] if isinstance(part, Range)]
        return _fits(inner[0], value) and all(value in part for part in ranges)
    if origin in (Union, types.UnionType):
        return any(_fits(one, value) for one in inner)
    if origin is Literal:
        return any(type(value) is type(one) and value == one for one in inner)
    if hint is None or hint is type(None):
        return value is None
    if hint is Any:  # a class since Python 3.11, but isinstance refuses it
        return True
    if hint is int:
        return isinstance(value, Integral) and not isinstance(value, bool)
    if hint is float:
        return isinstance(value, Real) and not isinstance(value, bool) and _finite(value)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        if inner[1:] == (...,):
            return all(_fits(inner[0], one) for one in value)
        return len(value) == len(inner) and all(map(_fits, inner, value))
    if origin is Sequence:
        listed = isinstance(value, Sequence | np.ndarray) and not isinstance(value, str)
        return listed and all(_fits(inner[0], one) for one in value)
    if origin is Callable:
        return callable(value)
    kind = origin or hint
    unclear = not isinstance(kind, type) or kind is type or getattr(kind, "_is_protocol", False)
    return unclear or isinstance(value, kind)


def _finite(value: Real) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer too large for a float
        return False


def _words(hint: Any) -> str:
    """The values that conform to `hint` in words, to follow "give"."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _words(inner[0]) + "".join(part.words for part in inner[1:] if isinstance(part, Range))
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_words(one) for one in inner if one is not type(None))) + (
            ", or None" if type(None) in inner else ""
        )
    if origin is Literal:
        return "one of " + ", ".join(map(repr, inner)) if len(inner) > 1 else repr(inner[0])
    if hint in (int, float, bool, str):
        return {int: "a whole number", float: "a finite number", bool: "True or False", str: "a text"}[hint]
    if origin is tuple and inner[1:] != (...,):
        return f"{len(inner)} values ({'; '.join(map(_words, inner))})"
    if origin in (tuple, Sequence):
        kind = "a tuple" if origin is tuple else "a sequence"
        return f"{kind} in which each is {_words(inner[0])}"
    if origin is Callable:
        return "a function"
    name = getattr(origin or hint, "__name__", str(hint))
    return f"{'an' if name[0] in 'AEIOU' else 'a'} {name}"
