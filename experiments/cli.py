"""The command line: `metarl list | train | evaluate | compare | plot | video | reproduce`.

This module imports nothing slow: Ctrl-C is heard from the start, and `metarl --help` and `metarl list` are quick.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Protocol

import metarl
from metarl.distributed import first_to_end, refuse
from metarl.experiments import terminal
from metarl.experiments.presets import nearest

COMMANDS = {  # a class each, imported when it is asked for
    "list": "metarl.experiments.listing:List",
    "train": "metarl.experiments.commands:Train",
    "evaluate": "metarl.experiments.commands:Evaluate",
    "compare": "metarl.experiments.commands:Compare",
    "plot": "metarl.experiments.commands:Plot",
    "video": "metarl.experiments.commands:Video",
    "reproduce": "metarl.experiments.commands:Reproduce",
}

USAGE = """metarl: meta-learning and meta-reinforcement-learning

  metarl list [WORD …]                            the presets, or those with these words in their names
  metarl train PRESET [--quick] [--out DIR] …     train (metarl train PRESET --help: all settings)
  metarl train --resume DIR                       go on with a run (--data DIR: its images have moved)
  metarl evaluate DIR [--steps K] [--json FILE]   score on held-out tasks after 0 … K gradient steps
  metarl compare DIR… [--out FILE.png] [--csv FILE] [--json FILE]
                                                  evaluated runs: seeds pooled, means with intervals
  metarl plot DIR… --out FILE.png                 learning curves and adaptation, seeds pooled
  metarl video DIR --out FILE.mp4|gif             before and after adaptation, side by side
  metarl reproduce TASK [--fraction F]            a published result: all its methods and seeds, tables and pictures
  metarl --version                                the version

`metarl COMMAND --help` shows all options of a command.
"""


class Command(Protocol):
    """What a command line spells: options that are read and checked."""

    def run(self) -> None: ...


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line; a mistake of the user's is one line and exit status 2."""
    logging.basicConfig(format="%(levelname)s: %(message)s")
    terminal.prepare()
    try:
        try:
            _run(sys.argv[1:] if args is None else list(args))
        finally:
            sys.stdout.flush()
    except (ValueError, OSError, FloatingPointError) as error:
        if terminal.of_printing(error):
            terminal.print_no_more()
            if isinstance(error, BrokenPipeError):  # as in `metarl list | head`
                raise SystemExit(terminal.BROKEN_PIPE) from None
            error = OSError(f"cannot write to the standard output ({getattr(error, 'strerror', error)})")
        if first_to_end():
            terminal.complain("error: " + " ".join(str(error).splitlines()))
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(terminal.INTERRUPTED) from None


def _run(args: Sequence[str]) -> None:
    if not args or args[0] in ("-h", "--help", "help"):
        print(USAGE, end="")
        return
    if args[0] == "--version":
        print(f"metarl {metarl.__version__}")
        return
    with terminal.leaving_at_once():
        command = parse(args)
    if args[0] not in ("train", "evaluate"):
        refuse(f"metarl {args[0]}")
    with terminal.hearing_once():
        command.run()


def parse(args: Sequence[str]) -> Command:
    """The command that `args` spell. Raises ValueError for a mistake, SystemExit after a command's --help."""
    name, *rest = args
    if name not in COMMANDS:
        raise ValueError(f"unknown command {name!r}: {nearest(name, COMMANDS)}")
    module, _, kind = COMMANDS[name].partition(":")
    command: Command = getattr(import_module(module), kind).parse(rest)
    return command


if __name__ == "__main__":
    main()
