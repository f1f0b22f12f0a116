"""The command line: `metarl list | train | evaluate | compare | plot | video | reproduce`.

This module imports nothing slow, so that Ctrl-C is heard from the start.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

from metarl.experiments import terminal


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
        if terminal.lost():
            if isinstance(error, BrokenPipeError):  # as in `metarl list | head`
                raise SystemExit(terminal.BROKEN_PIPE) from None
            error = OSError(f"cannot write to the standard output ({getattr(error, 'strerror', error)})")
        terminal.complain("error: " + " ".join(str(error).splitlines()))
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(terminal.INTERRUPTED) from None


def _run(args: Sequence[str]) -> None:
    with terminal.leaving_at_once():
        from metarl.experiments.commands import USAGE, parse

        if not args or args[0] in ("-h", "--help", "help"):
            print(USAGE, end="")
            return
        command = parse(args)
    with terminal.hearing_once():
        command.run()


if __name__ == "__main__":
    main()
