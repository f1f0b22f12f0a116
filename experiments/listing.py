"""The command `metarl list`, which prints a table of all tasks and the methods that have presets for them.

It parses its options and formats the table itself, because importing the libraries of the other commands is slow.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, zip_longest
from textwrap import wrap

from metarl.experiments.presets import TASKS, Task, similar

WIDTH = 100  # width of the table without a terminal, in characters
DESCRIPTION_WIDTH = 26
MIN_METHODS_WIDTH = 20
HEADER = ("task", "what it is", "methods")
FOOTER = """Train a preset, TASK-METHOD: `metarl train half-cheetah-vel-maml`. Show some: `metarl list ant-vel`.
Tasks whose names end in -2017 have the physics of the MAML paper."""
HELP = """usage: metarl list [WORD ...]

Show the presets of `metarl train`, with one row for each task. The name of a preset is TASK-METHOD, such as
half-cheetah-vel-maml. If WORDs are given, only presets are shown whose names contain each WORD at the beginning or
after a hyphen:

  metarl list half-cheetah          all tasks of the half-cheetah
  metarl list promp                 all tasks with a preset for ProMP
  metarl list 5way-1shot protonet   prototypical networks on 5-way 1-shot images
"""


@dataclass(frozen=True)
class List:
    """Show the presets whose names contain all `words`, each at the beginning or after a hyphen."""

    words: tuple[str, ...] = ()

    @classmethod
    def parse(cls, args: Sequence[str]) -> List:
        """Parse the arguments. Raises ValueError for an option, and SystemExit after printing the help."""
        if {"-h", "--help"} & set(args):
            print(HELP, end="")
            raise SystemExit(0)
        if options := [word for word in args if word.startswith("-")]:
            raise ValueError(f"Unrecognized options: {options[0]}: see metarl list --help")
        return cls(tuple(args))

    def run(self) -> None:
        """Print the table."""
        width = shutil.get_terminal_size((WIDTH, 0)).columns if sys.stdout.isatty() else WIDTH
        print("\n".join(table(matching(self.words), width=width)))
        if not self.words:
            print(f"\n{FOOTER}")


def matching(words: Sequence[str]) -> list[Task]:
    """The tasks and methods whose presets contain all `words` in their names. Raises ValueError if there are none."""
    found = []
    for task in TASKS:
        methods = tuple(method for method in task.methods if all(_has(f"{task.name}-{method}", w) for w in words))
        if methods:
            found.append(task._replace(presets={method: task.presets[method] for method in methods}))
    if not found:
        names = [f"{task.name}-{method}" for task in TASKS for method in task.methods]
        known = dict.fromkeys(name for task in TASKS for name in (task.name, *task.methods, *task.name.split("-")))
        unknown = [word for word in words if not any(_has(name, word) for name in names)]
        what = repr(unknown[0]) if unknown else " and ".join(map(repr, words))
        hint = similar(unknown[0], known) if unknown else ""
        raise ValueError(f"no preset has {what} in its name: {hint}{' ' * bool(hint)}`metarl list` shows all")
    return found


def table(tasks: Sequence[Task], *, width: int) -> Iterator[str]:
    """The lines of the table, if possible with at most `width` characters.

    Consecutive tasks with the same description and methods share a row.
    """
    rows = [
        ([task.name for task in same], wrap(about, DESCRIPTION_WIDTH), ", ".join(methods))
        for (about, methods), group in groupby(tasks, key=lambda task: (task.about, task.methods))
        for same in [list(group)]
    ]
    first = max(len(name) for names, _, _ in rows for name in names)
    last = max(MIN_METHODS_WIDTH, width - first - DESCRIPTION_WIDTH - 4)
    for names, about, methods in [([HEADER[0]], [HEADER[1]], HEADER[2]), *rows]:
        for cells in zip_longest(names, about, wrap(methods, last, break_on_hyphens=False), fillvalue=""):
            yield f"{cells[0]:{first}}  {cells[1]:{DESCRIPTION_WIDTH}}  {cells[2]}".rstrip()


def _has(name: str, word: str) -> bool:
    """Whether `name` contains `word` at the beginning or after a hyphen."""
    return word != "" and f"-{word}" in f"-{name}"
