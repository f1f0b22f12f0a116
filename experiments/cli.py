"""The command line: `metarl list | train | evaluate | compare | plot | video | reproduce`.

This module imports nothing slow, so that Ctrl-C works from the start, and `metarl --help` and `metarl list` are fast.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Protocol

import metarl
from metarl.distributed import first_to_end, refuse
from metarl.experiments import terminal
from metarl.experiments.presets import nearest

COMMANDS = {  # the class of each command, which is imported when the command is used
    "list": "metarl.experiments.listing:List",
    "train": "metarl.experiments.commands:Train",
    "evaluate": "metarl.experiments.commands:Evaluate",
    "compare": "metarl.experiments.commands:Compare",
    "plot": "metarl.experiments.commands:Plot",
    "video": "metarl.experiments.commands:Video",
    "reproduce": "metarl.experiments.reproduction:Reproduce",
}

USAGE = """metarl: meta-learning and meta-reinforcement-learning

  metarl list [WORD …]                            show the presets, or those with these words in their names
  metarl train PRESET [--quick] [--out DIR] …     train a preset (all settings: metarl train PRESET --help)
  metarl train --resume DIR                       continue a run (--data DIR: its images have been moved)
  metarl evaluate DIR [--steps K] [--json FILE]   compute scores on held-out tasks after 0 … K gradient steps
  metarl compare DIR… [--out FILE.png] [--csv FILE] [--json FILE]
                                                  compare evaluated runs: means over seeds, with intervals
  metarl plot DIR… --out FILE.png                 plot learning curves and scores after adaptation
  metarl video DIR --out FILE.mp4|gif             film a policy before and after adaptation, side by side
  metarl reproduce TASK [--jobs N] [--fraction F]
                                                  reproduce a published result: all methods, seeds, tables and plots
  metarl --version                                show the version

`metarl COMMAND --help` shows all options of a command.
"""


class Command(Protocol):
    """A command with its options, which are parsed and checked."""

    def run(self) -> None: ...


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line. Errors of the user print one line and exit with status 2."""
    guarded(lambda: _run(sys.argv[1:] if args is None else list(args)))


def guarded(work: Callable[[], None]) -> None:
    """Do the `work` of a process. Errors of the user print one line and exit with status 2, Ctrl-C with 130."""
    logging.basicConfig(format="%(levelname)s: %(message)s")
    terminal.prepare()
    try:
        try:
            work()
        finally:
            sys.stdout.flush()
    except (ValueError, OSError, FloatingPointError) as error:
        if terminal.is_output_error(error):
            terminal.discard_output()
            if isinstance(error, BrokenPipeError):  # as in `metarl list | head`
                raise SystemExit(terminal.BROKEN_PIPE) from None
            error = OSError(f"cannot write to the standard output ({getattr(error, 'strerror', error)})")
        if first_to_end():
            terminal.print_error("error: " + " ".join(str(error).splitlines()))
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
    with terminal.exit_on_interrupt():
        command = parse(args)
    if args[0] not in ("train", "evaluate"):
        refuse(f"metarl {args[0]}")
    with terminal.interrupt_once():
        command.run()


def parse(args: Sequence[str]) -> Command:
    """Parse a command line. Raises ValueError for an invalid one, and SystemExit after the --help of a command."""
    name, *rest = args
    if name not in COMMANDS:
        raise ValueError(f"unknown command {name!r}: {nearest(name, COMMANDS)}")
    module, _, kind = COMMANDS[name].partition(":")
    command: Command = getattr(import_module(module), kind).parse(rest)
    return command


if __name__ == "__main__":
    main()
