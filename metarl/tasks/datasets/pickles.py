"""A safe reader of pickled arrays, which executes nothing that a pickle contains.

It interprets the opcodes documented in the standard library's pickletools, as far as plain values and arrays need them,
and refuses everything else. It also refuses a pickle that would take much more memory than its file's size.
"""

from __future__ import annotations

import codecs
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, BinaryIO

from metarl.files import regular_file
from metarl.ranges import checked
from metarl.tasks.datasets.pickled_arrays import Array, Type, call, find, key

MAX_BYTES = 1 << 32  # of a file
MAX_OPCODES = 2_000_000  # a cache of miniImageNet has a few hundred thousand
DAMAGED = "it is truncated or damaged"


@checked
def read_arrays(path: Path) -> Any:
    """The object in the pickle at `path`: NumPy arrays, numbers, strings, bytes, lists, tuples and dicts.

    Reads pickles from Python 2 and 3 and NumPy 1 and 2. Arrays are numerical and read-only. Raises ValueError for a
    pickle with anything else in it, for a damaged one, and for a path that is not a file.
    """
    try:
        with regular_file(path).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > MAX_BYTES:
                raise UnpicklingError(f"it has {size / 2**30:.0f} GiB, and the limit is {MAX_BYTES / 2**30:.0f}")
            return _run(_Machine(file, size))
    except UnpicklingError as error:
        reason = str(error)
    except OSError as error:
        raise ValueError(f"cannot read {path} ({error.strerror}): check its permissions and the disk") from None
    raise ValueError(f"cannot read {path} ({reason}): get the file again, from someone you trust")


def _run(machine: _Machine) -> Any:
    """The result of the machine. Every error becomes an UnpicklingError."""
    try:
        return machine.run()
    except (UnpicklingError, OSError):
        raise
    except MemoryError:
        raise UnpicklingError("it needs more memory than there is") from None
    except Exception:  # a damaged pickle can fail in any way
        raise UnpicklingError(DAMAGED) from None


class _Machine:
    """The pickle machine: a stack of values, marks in it, and a memo of values that are used again."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file, self.left = file, size
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.allowance = 4 * size + 1000  # bytes and items in arguments of calls

    def run(self) -> Any:
        """Execute opcodes up to STOP and return the value on the stack."""
        for _ in range(MAX_OPCODES):
            opcode = self.file.read(1)
            self.left -= 1
            if opcode in VALUES:
                self.stack.append(VALUES[opcode](self))
            elif opcode in ACTIONS:
                ACTIONS[opcode](self)
            elif opcode == pickle.STOP:
                return self.stack.pop()
            elif not opcode:
                raise UnpicklingError(DAMAGED)
            else:
                raise UnpicklingError(f"its opcode {opcode!r} is not used for arrays")
        raise UnpicklingError(f"it has more than {MAX_OPCODES} opcodes")

    def take(self, n: int) -> bytes:
        """Read the next `n` bytes."""
        if not 0 <= n <= self.left:
            raise UnpicklingError(DAMAGED)
        self.left -= n
        return self.file.read(n)

    def line(self) -> bytes:
        """Read to the end of the line; return the line without it."""
        line = self.file.readline(self.left)
        self.left -= len(line)
        if line[-1:] != b"\n":
            raise UnpicklingError(DAMAGED)
        return line[:-1]

    def number(self, layout: str) -> Any:
        """Read the next number, in a format of `struct`."""
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def marked(self) -> list[Any]:
        """Pop the values above the last mark."""
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def last(self, n: int) -> list[Any]:
        """Pop the last `n` values."""
        if len(self.stack) < n:
            raise UnpicklingError(DAMAGED)
        items = self.stack[-n:]
        del self.stack[-n:]
        return items

    def get(self, place: int) -> Any:
        """A value from the memo. For the stand-in of an array that has been built, this is the array."""
        value = self.memo[place]
        return value.built if type(value) is Array and value.built is not None else value

    def put(self, place: int) -> None:
        self.memo[place] = self.stack[-1]

    def extend(self, values: list[Any]) -> None:
        """Extend the list on top of the stack."""
        found = self.stack[-1]
        if type(found) is not list:
            raise UnpicklingError(DAMAGED)
        found += values

    def update(self, items: list[Any]) -> None:
        """Add alternating keys and values to the dict on top of the stack."""
        found = self.stack[-1]
        if type(found) is not dict or len(items) % 2:
            raise UnpicklingError(DAMAGED)
        for name, value in zip(items[::2], items[1::2], strict=True):
            found[key(name)] = value

    def make_dict(self) -> None:
        items = self.marked()
        self.stack.append({})
        self.update(items)

    def build(self) -> None:
        """Replace a stand-in by the object that it builds from a state."""
        instance, state = self.last(2)
        if type(instance) not in (Type, Array):
            raise UnpicklingError("it sets the state of an object that is not an array")
        self.stack.append(instance.build(self.allowed(state)))

    def call(self) -> Any:
        """Call the stand-in for a function."""
        function, args = self.last(2)
        return call(function, self.allowed(args))

    def allowed(self, args: Any) -> tuple[Any, ...]:
        """Return the tuple `args` if the total size of all arguments so far is within the allowance."""
        if type(args) is not tuple:
            raise UnpicklingError(DAMAGED)
        self.allowance -= sum(len(arg) for arg in args if type(arg) in (str, bytes, list, tuple))
        if self.allowance < 0:
            raise UnpicklingError("it makes the same objects again and again")
        return args

    def begin(self) -> None:
        if (version := self.number("<B")) > pickle.HIGHEST_PROTOCOL:
            raise UnpicklingError(f"its protocol {version} is unknown")


def _sized(layout: str, decode: Callable[[bytes], Any] = bytes) -> Callable[[_Machine], Any]:
    """Reads bytes that are preceded by their number in this format."""
    return lambda machine: decode(machine.take(machine.number(layout)))


def _integer(text: bytes) -> int | bool:
    return text == b"01" if text in (b"00", b"01") else int(text)  # protocols 0 and 1 write booleans so


def _long(content: bytes) -> int:
    return int.from_bytes(content, "little", signed=True)


def _latin(content: bytes) -> str:
    return content.decode("latin1")


def _unicode(content: bytes) -> str:
    return content.decode("utf-8", "surrogatepass")


def _quoted(text: bytes) -> str:
    """Decode the repr of a Python 2 str."""
    if len(text) < 2 or text[:1] != text[-1:] or text[:1] not in (b"'", b'"'):
        raise UnpicklingError(DAMAGED)
    return codecs.escape_decode(text[1:-1])[0].decode("latin1")


VALUES: dict[bytes, Callable[[_Machine], Any]] = {
    pickle.NONE: lambda machine: None,
    pickle.NEWTRUE: lambda machine: True,
    pickle.NEWFALSE: lambda machine: False,
    pickle.INT: lambda machine: _integer(machine.line()),
    pickle.LONG: lambda machine: int(machine.line().removesuffix(b"L")),
    pickle.BININT: lambda machine: machine.number("<i"),
    pickle.BININT1: lambda machine: machine.number("<B"),
    pickle.BININT2: lambda machine: machine.number("<H"),
    pickle.LONG1: _sized("<B", _long),
    pickle.LONG4: _sized("<i", _long),
    pickle.FLOAT: lambda machine: float(machine.line()),
    pickle.BINFLOAT: lambda machine: machine.number(">d"),
    pickle.STRING: lambda machine: _quoted(machine.line()),
    pickle.BINSTRING: _sized("<i", _latin),
    pickle.SHORT_BINSTRING: _sized("<B", _latin),
    pickle.UNICODE: lambda machine: machine.line().decode("raw-unicode-escape"),
    pickle.BINUNICODE: _sized("<I", _unicode),
    pickle.SHORT_BINUNICODE: _sized("<B", _unicode),
    pickle.BINUNICODE8: _sized("<Q", _unicode),
    pickle.BINBYTES: _sized("<I"),
    pickle.SHORT_BINBYTES: _sized("<B"),
    pickle.BINBYTES8: _sized("<Q"),
    pickle.BYTEARRAY8: _sized("<Q"),
    pickle.EMPTY_LIST: lambda machine: [],
    pickle.EMPTY_DICT: lambda machine: {},
    pickle.EMPTY_TUPLE: lambda machine: (),
    pickle.LIST: _Machine.marked,
    pickle.TUPLE: lambda machine: tuple(machine.marked()),
    pickle.TUPLE1: lambda machine: tuple(machine.last(1)),
    pickle.TUPLE2: lambda machine: tuple(machine.last(2)),
    pickle.TUPLE3: lambda machine: tuple(machine.last(3)),
    pickle.DUP: lambda machine: machine.stack[-1],
    pickle.GET: lambda machine: machine.get(int(machine.line())),
    pickle.BINGET: lambda machine: machine.get(machine.number("<B")),
    pickle.LONG_BINGET: lambda machine: machine.get(machine.number("<I")),
    pickle.GLOBAL: lambda machine: find(machine.line().decode(), machine.line().decode()),
    pickle.STACK_GLOBAL: lambda machine: find(*machine.last(2)),
    pickle.REDUCE: _Machine.call,
}
"""The opcodes that push a value on the stack."""

ACTIONS: dict[bytes, Callable[[_Machine], Any]] = {
    pickle.PROTO: _Machine.begin,
    pickle.FRAME: lambda machine: machine.take(8),
    pickle.MARK: lambda machine: machine.marks.append(len(machine.stack)),
    pickle.POP: lambda machine: machine.stack.pop(),
    pickle.POP_MARK: _Machine.marked,
    pickle.PUT: lambda machine: machine.put(int(machine.line())),
    pickle.BINPUT: lambda machine: machine.put(machine.number("<B")),
    pickle.LONG_BINPUT: lambda machine: machine.put(machine.number("<I")),
    pickle.MEMOIZE: lambda machine: machine.put(len(machine.memo)),
    pickle.APPEND: lambda machine: machine.extend(machine.last(1)),
    pickle.APPENDS: lambda machine: machine.extend(machine.marked()),
    pickle.SETITEM: lambda machine: machine.update(machine.last(2)),
    pickle.SETITEMS: lambda machine: machine.update(machine.marked()),
    pickle.DICT: _Machine.make_dict,
    pickle.BUILD: _Machine.build,
}
"""The opcodes that change the stack in other ways."""
