"""Descriptions of objects as JSON, by which a run folder stores what was trained and makes it again.

Learners, outer loops, tasks and nets of this package, and all classes derived from them, remember the arguments that
they were made with (`metarl.described.Described`). A description holds classes and functions by module and name, and
numbers, strings and containers by value. Of an object that cannot be described, such as a lambda or a net that is not
`Described`, it holds the name: the script that made such a run can continue it, but only that script can load it.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import inspect
import math
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Space
from torch import Tensor, nn

from metarl.described import Described
from metarl.rl.actions import ARGUMENTS, build_space, describe_space

MAX_SIZE = 1000  # a description holds arrays of at most this size, and the checksum of larger ones


class NotRestorable(ValueError):
    """Raised when an object cannot be made from its description."""


def describe(value: Any) -> Any:
    """The description of `value`, as JSON."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else {"number": str(float(value))}
    if isinstance(value, np.integer | np.bool_):
        return value.item()
    if isinstance(value, torch.device | Path):
        return str(value)
    if isinstance(value, Mapping):
        return {"items": [[describe(key), describe(item)] for key, item in value.items()]}
    if isinstance(value, Described):
        args, kwargs = value.__dict__["_arguments"]
        bound = inspect.signature(type(value)).bind(*args, **kwargs)
        return {"class": _name(type(value)), "arguments": {k: describe(v) for k, v in _named(bound).items()}}
    if isinstance(value, functools.partial):
        parts = {"function": describe(value.func), "args": describe(value.args), "named": describe(value.keywords)}
        return {"partial": parts}
    if isinstance(value, type | FunctionType):
        return {"name": _name(value)} if _found(value) else _unknown(value)
    if isinstance(value, Space):
        return describe_space(value) if type(value) in ARGUMENTS else _unknown(value)
    if isinstance(value, Tensor | np.ndarray):
        return _array(np.asarray(value.detach().cpu() if isinstance(value, Tensor) else value))
    if isinstance(value, Sequence):
        return [describe(item) for item in value]
    if isinstance(value, nn.Module):
        shapes = {name: list(p.shape) for name, p in value.named_parameters()}
        return {"unknown": _name(type(value)), "parameters": shapes}
    return _unknown(value)


def build(description: Any) -> Any:
    """Make the object that `description` describes. Raises NotRestorable, which names a part that cannot be made."""
    if isinstance(description, list):
        return tuple(build(item) for item in description)
    if not isinstance(description, dict):
        return description
    match description:
        case {"number": text}:
            return float(text)
        case {"items": items}:
            return {build(key): build(item) for key, item in items}
        case {"name": name}:
            return _import(name)
        case {"partial": parts}:
            return functools.partial(build(parts["function"]), *build(parts["args"]), **build(parts["named"]))
        case {"space": _}:
            return build_space(description)
        case {"array": values, "dtype": dtype}:
            return np.array(values, dtype)
        case {"class": name, "arguments": arguments}:
            cls = _import(name)
            if not (isinstance(cls, type) and issubclass(cls, Described)):
                raise NotRestorable(f"{name} is not a learner, task or net of metarl: the run folder was edited")
            return cls(**{key: build(value) for key, value in arguments.items()})
    what = description.get("unknown", "a part") if isinstance(description, dict) else "a part"
    raise NotRestorable(f"{what} cannot be made from the run folder: give the object itself")


def _named(bound: inspect.BoundArguments) -> dict[str, Any]:
    """A constructor's arguments by name. Raises TypeError for a constructor with *args."""
    kinds = {p.kind for name, p in bound.signature.parameters.items() if name in bound.arguments}
    if inspect.Parameter.VAR_POSITIONAL in kinds:
        raise TypeError(f"a constructor with *arguments cannot be described: {bound.signature}")
    named = dict(bound.arguments)
    for name, parameter in bound.signature.parameters.items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            named |= named.pop(name, {})
    return named


def _name(value: Any) -> str:
    """The module and name of a class or function; the module of one in a script is the script's file name."""
    module = value.__module__
    if module == "__main__" and (file := getattr(sys.modules["__main__"], "__file__", None)):
        module = Path(file).stem
    return f"{module}:{value.__qualname__}"


def _found(value: Any) -> bool:
    """Whether importing the name of a class or function gives that class or function."""
    found: Any = sys.modules.get(value.__module__)
    for part in value.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is value


def _import(name: str) -> Any:
    module, _, path = name.partition(":")
    try:
        found: Any = _module(module)
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise NotRestorable(
            f"the run was made with {path} of the module {module}, which cannot be imported ({error}): start metarl in "
            f"the folder that holds {module.partition('.')[0]}, or add that folder to PYTHONPATH"
        ) from None
    return found


def _module(name: str) -> ModuleType:
    """Import the module `name`; also look for it in the current folder, as Python does for a script there."""
    here = os.getcwd()
    if name.partition(".")[0] in ("metarl", "torch") or here in sys.path:
        return importlib.import_module(name)
    sys.path.append(here)
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(here)


def _array(values: np.ndarray) -> dict[str, Any]:
    if values.size <= MAX_SIZE:
        return {"array": values.tolist(), "dtype": str(values.dtype)}
    digest = hashlib.sha256(np.ascontiguousarray(values).data).hexdigest()
    return {"unknown": f"an array of shape {list(values.shape)}", "sha256": digest}


def _unknown(value: Any) -> dict[str, Any]:
    """The description of an object that cannot be made again: its name and, for functions, a checksum of the code."""
    code: CodeType | None = getattr(value, "__code__", None)
    digest = hashlib.sha256(code.co_code + repr(code.co_consts).encode()).hexdigest() if code is not None else ""
    kind = value if hasattr(value, "__qualname__") else type(value)
    return {"unknown": _name(kind), "sha256": digest}
