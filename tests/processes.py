"""Several processes that train together, as torchrun starts them, forked from this one: nothing is imported again."""

from __future__ import annotations

import multiprocessing
import os
import socket
import sys
import warnings
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from torch.distributed import TCPStore

from metarl.experiments.cli import main

LIMIT = 60.0  # seconds
_kept: list[TCPStore] = []  # to the end: a child has no thread that could end one


def start(count: int, work: Callable[[int], object], **environment: str) -> list[BaseProcess]:
    """`count` processes, each of which calls `work` with its number. As torchrun does, this one keeps their store."""
    if "MASTER_PORT" not in environment:
        store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        _kept.append(store)
        environment |= {"MASTER_PORT": str(store.port), "TORCHELASTIC_USE_AGENT_STORE": "True"}
    context = multiprocessing.get_context("fork")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of forks beside threads
        processes = [context.Process(target=_run, args=(r, count, work, environment)) for r in range(count)]
        for process in processes:
            process.start()
    return processes


def finish(processes: list[BaseProcess]) -> list[int | None]:
    """How all end: exit codes, negative for signals, None for one that had to be killed."""
    codes = []
    for process in processes:
        process.join(LIMIT)
        codes.append(process.exitcode)
        if process.exitcode is None:
            process.kill()
            process.join()
    return codes


def together(count: int, work: Callable[[int], object], **environment: str) -> None:
    """Run `work` in `count` processes to its end; AssertionError if one fails or hangs, after its error."""
    assert finish(start(count, work, **environment)) == [0] * count


def command(count: int, *args: object, folder: Path, **environment: str) -> tuple[list[BaseProcess], Path]:
    """`metarl ARGS` in `count` processes, and the file of what they print. "{rank}" in an argument is the number."""
    said = folder / "said"
    said.write_text("")

    def work(rank: int) -> None:
        handle = os.open(said, os.O_WRONLY | os.O_APPEND)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False, buffering=1)  # noqa: SIM115
        main([str(arg).replace("{rank}", str(rank)) for arg in args])

    return start(count, work, **environment), said


def errors(said: Path) -> list[str]:
    """The lines of errors in what was printed."""
    text = said.read_text()
    assert "Traceback" not in text, text
    return [line for line in text.splitlines() if line.startswith("error: ")]


def free_port() -> str:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return str(found.getsockname()[1])


def _run(rank: int, count: int, work: Callable[[int], Any], environment: dict[str, str]) -> None:
    os.environ |= {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1", "TORCH_CPP_LOG_LEVEL": "ERROR", **environment,
    }  # fmt: skip
    work(rank)
