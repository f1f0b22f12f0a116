"""Safe stand-ins for the NumPy functions that pickled arrays call.

They verify and collect their arguments. Arrays are views of the bytes in the pickle, with numerical types and matching
sizes. The only data from the pickle that NumPy's functions receive are these bytes, a shape and the name of a type.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pickle import UnpicklingError
from typing import Any

import numpy as np

NUMBERS = {"b1"} | {f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)} | {"f2", "f4", "f8"}
MAX_LENGTH = 1 << 48  # of an axis
MAX_DIMENSIONS = 32  # the limit of NumPy 1


class Type:
    """The stand-in for numpy.dtype: a numerical type, or a type of strings for a scalar."""

    def __init__(self, code: str, *_: Any) -> None:
        if type(code) is not str or not (code in NUMBERS or (code[:1] in "SU" and code[1:].isdecimal())):
            raise UnpicklingError(f"it holds numbers of the type {brief(code)}, which is not supported")
        self.code, self.order = code, "="

    def build(self, state: tuple[Any, ...]) -> Type:
        """Set the byte order, the only part of the state that a numerical type has."""
        if len(state) < 5 or any(part is not None for part in state[2:5]):
            raise UnpicklingError("it holds a compound type of numbers")
        if state[1] not in ("<", ">", "|", "="):
            raise UnpicklingError("it holds numbers of an unknown byte order")
        self.order = state[1]
        return self


class Array:
    """The stand-in for an array made by numpy's _reconstruct, whose content comes later."""

    def __init__(self) -> None:
        self.built: np.ndarray | None = None

    def build(self, state: tuple[Any, ...]) -> np.ndarray:
        """Make the array from (version, shape, type, whether in Fortran order, bytes)."""
        _, shape, kind, fortran, data = state
        self.built = array(data, kind, shape, "F" if fortran else "C")
        return self.built


@dataclass(frozen=True)
class Maker:
    """A stand-in that a pickle may call, or may only refer to if `make` is None."""

    make: Callable[..., Any] | None


def array(data: Any, kind: Any, shape: Any, order: Any, axes: Any = None) -> np.ndarray:
    """A read-only array over `data`. Raises UnpicklingError unless the bytes match its shape and type."""
    content = _bytes(data)
    if type(kind) is not Type or kind.code not in NUMBERS:
        raise UnpicklingError("it holds an array that is not numerical")
    if type(shape) is not tuple or len(shape) > MAX_DIMENSIONS or not all(map(_is_length, shape)):
        raise UnpicklingError("it holds an array of an invalid shape")
    dtype = np.dtype(kind.order + kind.code)
    if math.prod(shape) * dtype.itemsize != len(content):
        raise UnpicklingError("it holds an array whose bytes do not match its shape")
    if not content:
        return np.zeros(shape, dtype)
    flat = np.frombuffer(content, dtype)
    if order == "K":  # NumPy 2.4 and later, for permuted axes
        if type(axes) is not tuple or not all(map(_is_length, axes)) or sorted(axes) != [*range(len(shape))]:
            raise UnpicklingError("it holds an array of invalid axes")
        return flat.reshape(shape).transpose(axes)
    if order not in ("C", "F"):
        raise UnpicklingError("it holds an array of an unknown order")
    return flat.reshape(shape, order=order)


def find(module: Any, name: Any) -> Maker:
    """The stand-in for `module`.`name`. Raises UnpicklingError for names that pickled arrays do not need."""
    if type(module) is not str or type(name) is not str:
        raise UnpicklingError("it refers to a name that is not a string")
    if (module, name) not in MAKERS:
        raise UnpicklingError(f"it refers to {brief(f'{module}.{name}')[1:-1]}, which is not an array")
    return MAKERS[module, name]


def call(maker: Any, args: tuple[Any, ...]) -> Any:
    """Call the stand-in `maker` with `args`."""
    if type(maker) is not Maker or maker.make is None:
        raise UnpicklingError("it calls an object that is not a function")
    return maker.make(*args)


def key(value: Any) -> str:
    """Return `value` if it may be a key of a dict: only strings, whose hashes are randomised."""
    if type(value) is not str:
        raise UnpicklingError(f"it holds a dict whose keys are not strings but of the type {type(value).__name__}")
    return value


def brief(value: Any) -> str:
    """A value of the pickle for a message: escaped and shortened."""
    return repr(value[:80]) if isinstance(value, str) else f"of the type {type(value).__name__}"


def _scalar(kind: Any, data: Any) -> Any:
    content = _bytes(data)
    if type(kind) is Type and kind.code[0] == "S":
        return content.decode("latin1").rstrip("\0")
    if type(kind) is Type and kind.code[0] == "U":
        return content.decode("utf-32-be" if kind.order == ">" else "utf-32-le").rstrip("\0")
    return array(content, kind, (), "C")[()]


def _reconstruct(kind: Any, *_: Any) -> Array:
    if kind is not NDARRAY:
        raise UnpicklingError("it holds an array of an unknown class")
    return Array()


def _encode(text: str, encoding: str) -> bytes:
    """The stand-in for codecs.encode, by which protocol 2 stores bytes."""
    if encoding not in ("latin1", "latin-1"):
        raise UnpicklingError(f"it holds bytes in the encoding {brief(encoding)}")
    return text.encode("latin1")


def _dict(pairs: Any = ()) -> dict[str, Any]:
    """The stand-in for OrderedDict, which Python 2 calls with the items."""
    return {key(name): value for name, value in pairs}


def _bytes(data: Any) -> bytes:
    """The bytes `data`, which are decoded to a string in pickles of Python 2."""
    if type(data) not in (bytes, str):
        raise UnpicklingError("it holds an array without bytes")
    return data if isinstance(data, bytes) else data.encode("latin1")


def _is_length(value: Any) -> bool:
    return type(value) is int and 0 <= value < MAX_LENGTH


NDARRAY = Maker(None)
MULTIARRAY = {"_reconstruct": Maker(_reconstruct), "scalar": Maker(_scalar), "_frombuffer": Maker(array)}
MAKERS: dict[tuple[str, str], Maker] = {
    **{
        (f"numpy.{core}.{module}", name): maker
        for core in ("core", "_core")
        for module in ("multiarray", "numeric")
        for name, maker in MULTIARRAY.items()
    },
    ("numpy", "ndarray"): NDARRAY,
    ("numpy", "dtype"): Maker(Type),
    ("collections", "OrderedDict"): Maker(_dict),
    ("_codecs", "encode"): Maker(_encode),
    ("__builtin__", "bytes"): Maker(lambda: b""),  # empty bytes in protocol 2
}
