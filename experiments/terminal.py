"""Output to terminals that are closed, full or limited to ASCII, and Ctrl-C that is pressed more than once."""

from __future__ import annotations

import atexit
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
INTERRUPTED, BROKEN_PIPE = 130, 141  # the exit status in a shell of a program that SIGINT or SIGPIPE ended


def prepare() -> None:
    """Make the standard streams accept all output, also if they are closed or lack characters."""
    while (handle := os.open(os.devnull, os.O_RDWR)) <= 2:  # otherwise the next open file would become a closed stream
        pass
    os.close(handle)
    codecs.register_error("plain", _plain)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  (it stays open until the end)
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="plain")


def is_output_error(error: Exception) -> bool:
    """Whether `error` occurred in writing to standard output. Errors of other files contain the file name."""
    unnamed = isinstance(error, OSError) and error.errno is not None and error.filename is None
    return unnamed and not isinstance(error, FileNotFoundError)


def discard_output() -> None:
    """Discard all output to stdout that is still buffered."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_error(text: str) -> None:
    """Print a line to stderr if it can be written to."""
    with suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)


@contextmanager
def interrupt_once() -> Iterator[None]:
    """In this context, the first Ctrl-C raises KeyboardInterrupt; further ones are ignored while the program exits."""
    if not _handles_interrupts():
        yield
        return

    interrupted = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        interrupted.set()
        raise KeyboardInterrupt

    def report(ignored: sys.UnraisableHookArgs) -> None:
        if ignored.exc_type is not KeyboardInterrupt:
            hook(ignored)

    old, hook = signal.signal(signal.SIGINT, handle), sys.unraisablehook
    sys.unraisablehook = report
    try:
        yield
        if interrupted.is_set():  # it was raised in a destructor, where Python ignores exceptions
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise
    except Exception:
        if interrupted.is_set():  # a library such as MuJoCo has replaced the KeyboardInterrupt by another exception
            raise KeyboardInterrupt from None
        raise
    finally:
        sys.unraisablehook = hook
        atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)  # while Python exits, there is nothing to lose
        if signal.getsignal(signal.SIGINT) is handle:
            signal.signal(signal.SIGINT, old)


@contextmanager
def exit_on_interrupt() -> Iterator[None]:
    """In this context, Ctrl-C ends the process at once and without a message, as during slow imports."""
    if not _handles_interrupts():
        yield
        return
    old = signal.signal(signal.SIGINT, lambda number, frame: os._exit(INTERRUPTED))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, old)


def _handles_interrupts() -> bool:
    """Whether the handler of Ctrl-C can be replaced: in the main thread, if the program has not set one itself."""
    default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    return default and threading.current_thread() is threading.main_thread()


def _plain(error: UnicodeError) -> tuple[str, int]:
    """The replacement for characters that the stream cannot encode, and the position after them."""
    error = cast(UnicodeEncodeError, error)
    return "".join(map(_letter, error.object[error.start : error.end])), error.end


def _letter(letter: str) -> str:
    name = unicodedata.name(letter, "")
    if name.startswith("BOX DRAWINGS"):
        return "+" if " AND " in name else "|" if name.endswith("VERTICAL") else "-"
    plain = PLAIN.get(letter) or unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode()
    return plain or f"\\u{ord(letter):04x}"
