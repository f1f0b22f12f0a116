"""What may stand in a pickle of arrays: stand-ins for the functions of NumPy that a pickle calls.

They only collect their arguments. Arrays are views of bytes that the pickle holds, of plain numbers and of sizes that
fit: no function of NumPy ever sees what the pickle's maker chose but a shape and the name of a type of numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pickle import UnpicklingError
from typing import Any

import numpy as np

NUMBERS = {"b1"} | {f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)} | {"f2", "f4", "f8"}
LARGEST = 1 << 48  # of an axis
DIMENSIONS = 32  # NumPy 1 has no more


class Type:
    """Stands in for numpy.dtype: a type of numbers, or of text for a scalar."""

    def __init__(self, code: str, *_: Any) -> None:
        if type(code) is not str or not (code in NUMBERS or (code[:1] in "SU" and code[1:].isdecimal())):
            raise UnpicklingError(f"it holds numbers of the type {brief(code)}, which are not plain")
        self.code, self.order = code, "="

    def build(self, state: tuple[Any, ...]) -> Type:
        """Take the byte order, the only part of the state that a plain type has."""
        if len(state) < 5 or any(part is not None for part in state[2:5]):
            raise UnpicklingError("it holds a compound type of numbers")
        if state[1] not in ("<", ">", "|", "="):
            raise UnpicklingError("it holds numbers of an unknown byte order")
        self.order = state[1]
        return self


class Array:
    """Stands in for what numpy's _reconstruct returns: an array whose content comes later."""

    def __init__(self) -> None:
        self.built: np.ndarray | None = None

    def build(self, state: tuple[Any, ...]) -> np.ndarray:
        """Take (version, shape, type, whether in Fortran's order, bytes)."""
        _, shape, kind, fortran, data = state
        self.built = array(data, kind, shape, "F" if fortran else "C")
        return self.built


@dataclass(frozen=True)
class Maker:
    """What a pickle may call, by names that `find` knows."""

    make: Callable[..., Any] | None  # None: it may be named, but not called


def array(data: Any, kind: Any, shape: Any, order: Any, axes: Any = None) -> np.ndarray:
    """A read-only array over `data`. Raises UnpicklingError unless the bytes are as many as its shape and type take."""
    content = _bytes(data)
    if type(kind) is not Type or kind.code not in NUMBERS:
        raise UnpicklingError("it holds an array of something else than numbers")
    if type(shape) is not tuple or len(shape) > DIMENSIONS or not all(map(_is_length, shape)):
        raise UnpicklingError("it holds an array of an impossible shape")
    dtype = np.dtype(kind.order + kind.code)
    if math.prod(shape) * dtype.itemsize != len(content):
        raise UnpicklingError("it holds an array whose bytes do not fit its shape")
    if not content:
        return np.zeros(shape, dtype)
    flat = np.frombuffer(content, dtype)
    if order == "K":  # NumPy 2.4 and later: the axes were in another order
        if type(axes) is not tuple or not all(map(_is_length, axes)) or sorted(axes) != [*range(len(shape))]:
            raise UnpicklingError("it holds an array of impossible axes")
        return flat.reshape(shape).transpose(axes)
    if order not in ("C", "F"):
        raise UnpicklingError("it holds an array of an unknown order")
    return flat.reshape(shape, order=order)


def find(module: Any, name: Any) -> Maker:
    """The stand-in for `module`.`name`. Raises UnpicklingError for all that arrays and plain containers do not need."""
    if type(module) is not str or type(name) is not str:
        raise UnpicklingError("it asks for what has no name")
    if (module, name) not in MAKERS:
        raise UnpicklingError(f"it asks for {brief(f'{module}.{name}')[1:-1]}, which is no array")
    return MAKERS[module, name]


def call(maker: Any, args: tuple[Any, ...]) -> Any:
    """What a stand-in makes of `args`."""
    if type(maker) is not Maker or maker.make is None:
        raise UnpicklingError("it calls what is no function")
    return maker.make(*args)


def key(value: Any) -> str:
    """`value`, where it may be a dict's key: only text, whose hash nobody can choose."""
    if type(value) is not str:
        raise UnpicklingError(f"it holds a dict whose keys are not texts but of the type {type(value).__name__}")
    return value


def brief(value: Any) -> str:
    """A value of the pickle for a message: no control characters, and not long."""
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
        raise UnpicklingError("it asks for an array of another kind")
    return Array()


def _encode(text: str, encoding: str) -> bytes:
    """How protocol 2 spells bytes."""
    if encoding not in ("latin1", "latin-1"):
        raise UnpicklingError(f"bytes in the encoding {brief(encoding)}")
    return text.encode("latin1")


def _dict(pairs: Any = ()) -> dict[str, Any]:
    """OrderedDict; Python 2 gives it its items."""
    return {key(name): value for name, value in pairs}


def _bytes(data: Any) -> bytes:
    """`data`; Python 2's are texts by now."""
    if type(data) not in (bytes, str):
        raise UnpicklingError("it holds an array without bytes")
    return data if isinstance(data, bytes) else data.encode("latin1")


def _is_length(value: Any) -> bool:
    return type(value) is int and 0 <= value < LARGEST


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
    ("__builtin__", "bytes"): Maker(lambda: b""),  # no bytes, in protocol 2
}
