"""Runs commands of `metarl`, each in a process of its own that needs no time to import anything.

This program imports everything once. For each order, a line of JSON on its standard input, it forks a child, which is
the command; it answers with the child's id, and with its wait status once it has ended. Where the order says so, the
child's interpreter ends as any other does, which takes most of a second; else the child ends with its command.
"""

import ctypes
import gc
import importlib
import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

MODULES = (
    "metarl.experiments.cli", "metarl.experiments.evaluation", "metarl.experiments.pretraining",
    "metarl.experiments.recipes", "metarl.experiments.recipes.report", "metarl.experiments.report.compare",
    "metarl.experiments.report.figures", "metarl.experiments.report.plot", "metarl.experiments.report.tables",
    "metarl.experiments.report.video", "metarl.experiments.runner", "matplotlib.backends.backend_agg",
    "matplotlib.figure", "matplotlib.ticker", "imageio.v2", "imageio_ffmpeg",
)  # fmt: skip
MEMORY = 8 * 2**30  # bytes that a command may ask for beyond what this program has


def next_order() -> dict[str, Any]:
    """Serve until there are no more orders; returns in each child, with its order."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # nothing that is printed while importing is an answer
    for name in MODULES:
        importlib.import_module(name)
    gc.freeze()  # a child's garbage collector leaves alone what it shares with this process
    print("ready", file=answers, flush=True)
    while line := sys.stdin.readline():
        child = os.fork()
        if not child:
            answers.close()
            return json.loads(line)
        print(child, file=answers, flush=True)
        print(os.waitpid(child, 0)[1], file=answers, flush=True)
    raise SystemExit


def become(order: dict[str, Any]) -> None:
    """Take on the order's streams and folder, limits and faults."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    for handle, file in ((1, order["out"]), (2, order["err"])):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644), handle)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115  (as a new interpreter opens them)
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False, errors="backslashreplace", buffering=1)  # noqa: SIM115
    os.chdir(order["folder"])
    os.environ.update(order["environment"])
    obey_modes()
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
    if order["fault"]:
        from injection import inject

        inject(**order["fault"])


def obey_modes() -> None:
    """Let the modes of files count for root, too: give up its capabilities."""
    if os.geteuid() == 0:
        header, none = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
        assert ctypes.CDLL(None).capset(header, none) == 0


if __name__ == "__main__":
    ORDER = next_order()
    become(ORDER)
    sys.argv = ["metarl", *ORDER["args"]]
    from metarl.experiments.cli import main

    code = 0
    try:
        main()
    except SystemExit as stop:
        if ORDER["whole"]:
            raise
        code = stop.code
    if not ORDER["whole"]:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code or 0)
