"""The terminal that a command talks to: it may be closed, go away, be full, know few letters, or send Ctrl-C twice."""

from __future__ import annotations

import codecs
import os
import signal
import sys
import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import cast

PLAIN = {
    "…": "...", "±": "+-", "−": "-", "–": "-", "×": "x", "→": "->", "≤": "<=", "≥": ">=", "•": "*", "°": " degrees",
    "α": "alpha", "β": "beta", "γ": "gamma", "ε": "epsilon", "θ": "theta", "λ": "lambda", "π": "pi", "σ": "sigma",
}  # fmt: skip
INTERRUPTED, BROKEN_PIPE = 130, 141  # what a shell says of a program that SIGINT or SIGPIPE ended


def prepare() -> None:
    """Let the standard streams take all that is written to them: also closed ones, and letters that they lack."""
    while (handle := os.open(os.devnull, os.O_RDWR)) <= 2:  # else the next file that is opened would be the stream
        pass
    os.close(handle)
    codecs.register_error("plain", _plain)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  (open as long as we run)
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="plain")


def of_printing(error: Exception) -> bool:
    """Whether `error` came of printing, its reader gone or the disk full: errors of files name the file."""
    unnamed = isinstance(error, OSError) and error.errno is not None and error.filename is None
    return unnamed and not isinstance(error, FileNotFoundError)


def print_no_more() -> None:
    """Let what was printed and is still to be written go nowhere."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def complain(text: str) -> None:
    """Print a line to stderr, if anybody listens."""
    with suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)


@contextmanager
def hearing_once() -> Iterator[None]:
    """Within it the first Ctrl-C is a KeyboardInterrupt, and those after it nothing: what is left to do is leaving."""
    if not _listening():
        yield
        return

    heard = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        heard.set()
        raise KeyboardInterrupt

    old = signal.signal(signal.SIGINT, handle)
    try:
        yield
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise
    except Exception:
        if heard.is_set():  # a library has made an error of its own of the KeyboardInterrupt, as MuJoCo's does
            raise KeyboardInterrupt from None
        raise
    finally:
        if signal.getsignal(signal.SIGINT) is handle:
            signal.signal(signal.SIGINT, old)


@contextmanager
def leaving_at_once() -> Iterator[None]:
    """Within it, where nothing is to be saved yet, Ctrl-C ends the process without a word: for slow imports."""
    if not _listening():
        yield
        return
    old = signal.signal(signal.SIGINT, lambda number, frame: os._exit(INTERRUPTED))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, old)


def _listening() -> bool:
    """Whether Ctrl-C is ours to hear: not in a thread, a program that hears it itself, or one told not to."""
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    return ours and threading.current_thread() is threading.main_thread()


def _plain(error: UnicodeError) -> tuple[str, int]:
    """What stands for letters that the stream cannot show."""
    error = cast(UnicodeEncodeError, error)
    return "".join(map(_letter, error.object[error.start : error.end])), error.end


def _letter(letter: str) -> str:
    name = unicodedata.name(letter, "")
    if name.startswith("BOX DRAWINGS"):
        return "+" if " AND " in name else "|" if name.endswith("VERTICAL") else "-"
    plain = PLAIN.get(letter) or unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode()
    return plain or f"\\u{ord(letter):04x}"
