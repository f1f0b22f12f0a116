"""Terminals that are closed, gone, full, know few letters, or send Ctrl-C: no traceback, and the right status."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from metarl.experiments import terminal

METARL = shlex.join([sys.executable, "-m", "metarl.experiments.cli"])
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a shell and signals")


def shell(command: str, **environment: str) -> tuple[int, str, str]:
    """Status, output and errors of `command`, in which M is metarl."""
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; M() {{ {METARL} \"$@\"; }}; {command}"], capture_output=True, text=True,
        env={**os.environ, **environment}, timeout=120,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("command", "status", "said"),
    [
        ("M --help | (exec <&-; sleep 3)", terminal.BROKEN_PIPE, ""),
        ("M --help >&-", 0, ""),
        ("M --help 2>&-", 0, ""),
        ("M --help > /dev/full", 2, "error: cannot write to the standard output (No space left on device)\n"),
    ],
)
def test_streams_that_take_nothing(command: str, status: int, said: str) -> None:
    if "/dev/full" in command and not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    found, _, errors = shell(command)
    assert (found, errors) == (status, said)


def test_a_table_for_a_reader_that_leaves_and_knows_few_letters() -> None:
    status, out, errors = shell("M --help | head -9", PYTHONIOENCODING="ascii")
    assert status in (0, 1)  # all of it may have been in the pipe
    assert errors == ""
    assert out.isascii()
    assert "metarl list [WORD ...]" in out


def test_a_complaint_in_few_letters_that_nobody_hears() -> None:
    status, out, errors = shell("M é…☃ñ 2>&1; M é 2>&-", PYTHONIOENCODING="ascii")
    assert (status, errors) == (2, "")
    assert out.startswith("error: unknown command 'e...\\u2603n'")


def test_training_goes_on_without_a_terminal(tmp_path: Path) -> None:
    run = tmp_path / "run"
    sizes = "--iterations 3 --log-every 1 --checkpoint-every 3 --meta-batch 2"
    assert shell(f"M train sinusoid-maml {sizes} --out {run} >&- 2>&-")[0] == 0
    assert len((run / "progress.csv").read_text().splitlines()) == 4
    assert (run / "checkpoints" / "00000003").is_dir()


def test_letters() -> None:
    shown = {"┏": "+", "━": "-", "│": "|", "┼": "+", "─": "-", "±": "+-", "−": "-", "é": "e", "☃": "\\u2603", "½": "12"}
    error = UnicodeEncodeError("ascii", "".join(shown), 0, len(shown), "")
    assert terminal._plain(error) == ("".join(shown.values()), len(shown))


@pytest.mark.parametrize("seconds", [0.3, 0.9])
def test_an_interrupt_while_importing_is_quiet(seconds: float) -> None:
    slow = [*shlex.split(METARL), "train", "--help"]
    process = subprocess.Popen(slow, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    errors = process.communicate(timeout=60)[1]
    assert errors == b""
    assert process.returncode in (terminal.INTERRUPTED, 0)  # it may have ended before


def test_only_the_first_interrupt_is_heard() -> None:
    old = signal.getsignal(signal.SIGINT)
    if old is not signal.default_int_handler:
        pytest.skip("Ctrl-C is not ours to hear")
    try:
        with pytest.raises(KeyboardInterrupt):
            interrupted_twice()
        signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, old)
    with terminal.interrupt_once():
        assert signal.getsignal(signal.SIGINT) is not old
    assert signal.getsignal(signal.SIGINT) is old


def interrupted_twice() -> None:
    """Ctrl-C, and again while leaving."""
    with terminal.interrupt_once():
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            signal.raise_signal(signal.SIGINT)


def test_an_interrupt_in_a_destructor_counts(capsys: pytest.CaptureFixture[str]) -> None:
    class Ends:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGINT)

    made, old = [Ends()], signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(KeyboardInterrupt), terminal.interrupt_once():
            made.clear()  # calls the destructor, in which Python ignores exceptions
    finally:
        signal.signal(signal.SIGINT, old)  # which is ignored after the first interrupt
    assert capsys.readouterr().err == ""
