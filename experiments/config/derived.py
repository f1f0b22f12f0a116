"""Settings that are derived from the constructor of a learner or of an outer loop.

A learner or an outer loop defines its settings once, as keyword arguments with ranges and a docstring. The dataclass of
its settings is created from these, and determines the command-line options, their help and the valid contents of
config.json.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, fields, make_dataclass, replace
from functools import cache
from importlib import import_module
from math import isinf
from typing import Annotated, Any, ClassVar, Literal, get_args, get_origin, get_type_hints

import tyro
from docstring_parser import parse

import metarl
from metarl.algorithms.base import Algorithm
from metarl.core import Distribution, Learner
from metarl.experiments.config.parts import Given, LearnerSettings, OuterSettings, TaskSettings
from metarl.experiments.config.run import Config
from metarl.experiments.config.settings import Part
from metarl.ranges import Range

GIVEN_TO_LEARNERS = ("net", "encoder", "loss", "widths", "ways", "outputs", "features", "shots", "classes")
GIVEN_TO_OUTER_LOOPS = ("learner", "divergence", "iterations", "chunk")
PLAIN = (bool, int, float, str)
MAX_COUNT = 100_000
"""The largest number of inner steps, units or the like: those of larger learners would not fit into memory."""


def find(name: str) -> Any:
    """Import the object `name`, a public name of metarl or "module:name". Raises ValueError if it does not exist."""
    module, _, attribute = name.rpartition(":")
    try:
        return getattr(import_module(module) if module else metarl, attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"there is no {name!r} ({error}): give a name that metarl exports, or module:name") from None


@cache
def settings_class(name: str) -> type[Part]:
    """The dataclass of the settings of the class or function `name`.

    If `name` is itself a dataclass of settings, that is returned; otherwise one is created from its keyword arguments.
    """
    made = find(name)
    if isinstance(made, type) and issubclass(made, Part):
        return made
    signature = inspect.signature(made)
    outer = "learner" in signature.parameters
    base, given = (DerivedOuter, GIVEN_TO_OUTER_LOOPS) if outer else (DerivedLearner, GIVEN_TO_LEARNERS)
    hints = get_type_hints(made.__init__ if isinstance(made, type) else made, include_extras=True)  # type: ignore[misc]
    text = inspect.getdoc(made) or ""
    helps = {argument.arg_name: argument.description or "" for argument in parse(text).params}
    found = [
        (key, Annotated[hint, tyro.conf.arg(help=helps.get(key, ""))], field(default=_default(parameter.default, hint)))
        for key, parameter in signature.parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and key not in given and (hint := _plain(hints[key])) is not None
    ]
    required = tuple(key for key in given if key in signature.parameters)
    space = {"__doc__": text.split("\n")[0], "kind": name, "made": staticmethod(made), "required": required}
    return make_dataclass(f"{made.__name__}Settings", found, bases=(base,), namespace=space, frozen=True)


class Derived(Part):
    """The base of settings that are the keyword arguments of the class or function `made`, whose name is `kind`."""

    kind: ClassVar[str]
    made: ClassVar[Callable[..., Any]]
    required: ClassVar[tuple[str, ...]]
    """The names of its arguments that are not settings, such as net, loss or learner."""

    def __reduce__(self) -> tuple[Callable[..., Part], tuple[str, dict[str, Any]]]:
        return _remade, (self.kind, _plain_values(self))

    def call(self, given: Mapping[str, Callable[[], Any]]) -> Any:
        """Call `made` with these settings and with those of the `given` values that it has arguments for."""
        if missing := [name for name in self.required if name not in given]:
            name = getattr(self.made, "__name__", self.kind)
            raise ValueError(
                f"{self.path} is {name}, which needs {missing[0]!r}, but these tasks do not provide it: choose another "
                f"{self.path}"
            )
        settings = _plain_values(self)
        try:
            return self.made(**{name: given[name]() for name in self.required}, **settings)
        except ValueError as error:
            path = f"{self.path}." if str(error).split()[0] in settings else ""  # messages may begin with an argument
            raise ValueError(f"{path}{error}") from None


class DerivedLearner(Derived, LearnerSettings):
    """The base of settings that are the keyword arguments of a learner's constructor."""

    @property
    def steps(self) -> int:  # type: ignore[override]  # of learners that have no such setting
        """The number of inner steps in training."""
        return int(getattr(self.made, "steps", 1))

    def build(self, task: TaskSettings, distribution: Distribution) -> Learner:
        learner: Learner = self.call(task.given(distribution))
        return learner

    def requires(self, name: str) -> bool:
        return name in self.required


class DerivedOuter(Derived, OuterSettings):
    """The base of settings that are the keyword arguments of an outer loop's constructor."""

    def __init_subclass__(cls, **rest: Any) -> None:
        super().__init_subclass__(**rest)
        cls.uses_query = getattr(cls.made, "uses_query", True)

    def outer_loop(self, config: Config, learner: Learner) -> Algorithm:
        given: Given = {
            "learner": lambda: learner, "divergence": lambda: config.task.divergence,
            "iterations": lambda: config.iterations, "chunk": lambda: config.chunk,
        }  # fmt: skip
        algorithm: Algorithm = self.call(given)
        return algorithm


def _remade(kind: str, settings: dict[str, Any]) -> Part:
    return settings_class(kind)(**settings)


def _plain_values(settings: Part) -> dict[str, Any]:
    return {f.name: getattr(settings, f.name) for f in fields(settings)}  # type: ignore[arg-type]


def _default(value: Any, hint: Any) -> Any:
    """The default of a setting: sequences are tuples, and a number is a tuple of one if the setting is a sequence."""
    single = get_origin(hint) is tuple and isinstance(value, int | float)
    return _as_tuple([value] if single else value)


def _as_tuple(value: Any) -> Any:
    return tuple(map(_as_tuple, value)) if isinstance(value, list | tuple) else value


def _plain(hint: Any) -> Any:
    """The type hint of a setting, with tuples for sequences; None if values are not numbers, strings or tuples."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint in PLAIN or hint is type(None) or origin is Literal:
        return hint
    if origin is Annotated:
        return None if _plain(inner[0]) is None else _limited(hint)
    parts = [_plain(one) for one in inner if one is not ...]
    if not parts or None in parts:
        return None
    if origin is Sequence:
        return types.GenericAlias(tuple, (parts[0], ...))
    if origin is tuple:
        return types.GenericAlias(tuple, (*parts, ...) if ... in inner else tuple(parts))
    sequences = [part for part in parts if get_origin(part) is tuple]
    chosen = sequences or parts  # a number is given as a sequence of one
    union = chosen[0]
    for part in chosen[1:]:
        union = union | part
    return union


def _limited(hint: Any) -> Any:
    """The type hint of a number in a range; one of integers without an end ends at `MAX_COUNT`."""
    kind, *marks = get_args(hint)
    if kind is int:
        marks = [replace(m, high=MAX_COUNT) if isinstance(m, Range) and isinf(m.high) else m for m in marks]
    return Annotated[kind, *marks]
