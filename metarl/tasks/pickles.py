"""Pickled arrays, read without executing what a pickle may contain."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def _encode(text: str, encoding: str) -> bytes:
    """How protocol 2 spells bytes."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"bytes in the encoding {encoding!r}")
    return text.encode("latin1")


def _numpy(name: str, example: Any, *, protocol: int = 2) -> dict[tuple[str, str], Callable[..., Any]]:
    """NumPy's function that rebuilds what `example` is, taken from its own pickling, under its names old and new."""
    function = example.__reduce_ex__(protocol)[0]
    modules = ("multiarray", "numeric")
    return {(f"numpy.{core}.{module}", name): function for core in ("core", "_core") for module in modules}


ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    **_numpy("_reconstruct", np.zeros(1)),
    **_numpy("scalar", np.int64(0)),
    **_numpy("_frombuffer", np.zeros(1), protocol=5),
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): _encode,
}


class _ArraysOnly(pickle.Unpickler):
    """Finds only what NumPy arrays and plain containers are made of; imports nothing."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is no array")
        return ALLOWED[module, name]


def read_arrays(path: Path) -> Any:
    """What the pickle at `path` holds, made of NumPy arrays, numbers, strings, lists and dicts; by Python 2 or 3.

    Raises ValueError for a pickle that holds or calls anything else, before it is called, and for a damaged one.
    """
    try:
        with path.open("rb") as file:
            return _ArraysOnly(file, encoding="latin1").load()
    except Exception as error:  # a damaged pickle can fail in any way
        reason = str(error) or type(error).__name__
        raise ValueError(f"cannot read {path} ({reason}): get the file again, from someone you trust") from None
