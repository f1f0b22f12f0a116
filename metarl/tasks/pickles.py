"""Pickled arrays, read by a machine that knows data and nothing else: nothing a pickle contains is ever executed.

The opcodes are those of the standard library's pickletools. Whatever else than plain values and arrays they can ask
for is refused, and so is what takes more memory than the file's own size explains.
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
from metarl.tasks.pickled_arrays import Array, Type, call, find, key

LARGEST = 1 << 32  # bytes of a file
MOST = 2_000_000  # opcodes: a cache of miniImageNet has some hundred thousand
CUT = "it is cut short, or damaged"


@checked
def read_arrays(path: Path) -> Any:
    """What the pickle at `path` holds, made of NumPy arrays, numbers, texts, bytes, lists, tuples and dicts.

    Pickles by Python 2 and 3 and by NumPy 1 and 2 are read; arrays are of plain numbers, and read-only. Raises
    ValueError for a pickle that holds or asks for anything else, for a damaged one, and for what is not a file.
    """
    try:
        with regular_file(path).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > LARGEST:
                raise UnpicklingError(f"it has {size / 2**30:.0f} GiB, and {LARGEST / 2**30:.0f} are the most")
            return _run(_Machine(file, size))
    except UnpicklingError as error:
        reason = str(error)
    except OSError as error:
        raise ValueError(f"cannot read {path} ({error.strerror}): see to its permissions, or its disk") from None
    raise ValueError(f"cannot read {path} ({reason}): get the file again, from someone you trust")


def _run(machine: _Machine) -> Any:
    """What the machine makes. Raises UnpicklingError, whatever goes wrong."""
    try:
        return machine.run()
    except (UnpicklingError, OSError):
        raise
    except MemoryError:
        raise UnpicklingError("it asks for more memory than there is") from None
    except Exception:  # a damaged pickle can fail in any way
        raise UnpicklingError(CUT) from None


class _Machine:
    """A stack of values, with marks in it, and a memo of those that come again."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file, self.left = file, size
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.allowance = 4 * size + 1000  # bytes and items that calls may be given: what is given again is made again

    def run(self) -> Any:
        """The value that the pickle holds."""
        for _ in range(MOST):
            opcode = self.file.read(1)
            self.left -= 1
            if opcode in VALUES:
                self.stack.append(VALUES[opcode](self))
            elif opcode in ACTIONS:
                ACTIONS[opcode](self)
            elif opcode == pickle.STOP:
                return self.stack.pop()
            elif not opcode:
                raise UnpicklingError(CUT)
            else:
                raise UnpicklingError(f"its opcode {opcode!r} makes no array")
        raise UnpicklingError(f"it has more than {MOST} parts")

    def take(self, n: int) -> bytes:
        """The next `n` bytes."""
        if not 0 <= n <= self.left:
            raise UnpicklingError(CUT)
        self.left -= n
        return self.file.read(n)

    def line(self) -> bytes:
        """What comes before the next end of a line."""
        line = self.file.readline(self.left)
        self.left -= len(line)
        if line[-1:] != b"\n":
            raise UnpicklingError(CUT)
        return line[:-1]

    def number(self, layout: str) -> Any:
        """The next number, laid out as `struct` says."""
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def marked(self) -> list[Any]:
        """Take what lies above the last mark."""
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def last(self, n: int) -> list[Any]:
        """Take the `n` last values."""
        if len(self.stack) < n:
            raise UnpicklingError(CUT)
        items = self.stack[-n:]
        del self.stack[-n:]
        return items

    def get(self, place: int) -> Any:
        """A value from the memo: of an array's stand-in the array, where its content has come."""
        value = self.memo[place]
        return value.built if type(value) is Array and value.built is not None else value

    def put(self, place: int) -> None:
        self.memo[place] = self.stack[-1]

    def extend(self, values: list[Any]) -> None:
        """Append to the list on top."""
        found = self.stack[-1]
        if type(found) is not list:
            raise UnpicklingError(CUT)
        found += values

    def update(self, items: list[Any]) -> None:
        """Set keys and values, in turn, in the dict on top."""
        found = self.stack[-1]
        if type(found) is not dict or len(items) % 2:
            raise UnpicklingError(CUT)
        for name, value in zip(items[::2], items[1::2], strict=True):
            found[key(name)] = value

    def make_dict(self) -> None:
        items = self.marked()
        self.stack.append({})
        self.update(items)

    def build(self) -> None:
        """Give a stand-in its state."""
        instance, state = self.last(2)
        if type(instance) not in (Type, Array):
            raise UnpicklingError("it sets the state of what is no array")
        self.stack.append(instance.build(self.allowed(state)))

    def call(self) -> Any:
        """What a stand-in for a function makes of its arguments."""
        function, args = self.last(2)
        return call(function, self.allowed(args))

    def allowed(self, args: Any) -> tuple[Any, ...]:
        """`args`, a tuple, where they are not too much."""
        if type(args) is not tuple:
            raise UnpicklingError(CUT)
        self.allowance -= sum(len(arg) for arg in args if type(arg) in (str, bytes, list, tuple))
        if self.allowance < 0:
            raise UnpicklingError("it makes the same again and again")
        return args

    def begin(self) -> None:
        if (version := self.number("<B")) > pickle.HIGHEST_PROTOCOL:
            raise UnpicklingError(f"its protocol {version} is unknown")


def _sized(layout: str, decode: Callable[[bytes], Any] = bytes) -> Callable[[_Machine], Any]:
    """Reads as many bytes as the number before them says."""
    return lambda machine: decode(machine.take(machine.number(layout)))


def _integer(text: bytes) -> int | bool:
    return text == b"01" if text in (b"00", b"01") else int(text)  # so protocols 0 and 1 spell False and True


def _long(content: bytes) -> int:
    return int.from_bytes(content, "little", signed=True)


def _latin(content: bytes) -> str:
    return content.decode("latin1")


def _unicode(content: bytes) -> str:
    return content.decode("utf-8", "surrogatepass")


def _quoted(text: bytes) -> str:
    """What Python 2's repr of a str says."""
    if len(text) < 2 or text[:1] != text[-1:] or text[:1] not in (b"'", b'"'):
        raise UnpicklingError(CUT)
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
"""What puts a value on the stack."""

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
"""What changes the stack otherwise."""
