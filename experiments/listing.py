"""`metarl list`: a row a task, with what it is and its methods.

Options are read and the table is printed by hand, since the libraries that do it elsewhere take longer to import.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, zip_longest
from textwrap import wrap

from metarl.experiments.presets import TASKS, Task, similar

WIDTH = 100  # columns, where there is no terminal
ABOUT = 26  # columns that say what a task is
LEAST = 20  # columns for the methods, at least
HEAD = ("task", "what it is", "methods")
FOOT = """Train a preset, TASK-METHOD: `metarl train half-cheetah-vel-maml`. List some: `metarl list ant-vel`.
Tasks that end in -2017 have the MAML paper's physics."""
HELP = """usage: metarl list [WORD ...]

Show the presets that `metarl train` knows, a row a task with its methods. A preset's name is TASK-METHOD, such as
half-cheetah-vel-maml. With WORDs, only those presets are shown that have each WORD in their names, at the beginning or
after a hyphen:

  metarl list half-cheetah          the half-cheetah's tasks
  metarl list promp                 the tasks that ProMP has presets for
  metarl list 5way-1shot protonet   prototypical networks on 5-way 1-shot images
"""


@dataclass(frozen=True)
class List:
    """Show the presets that have all `words` in their names, each at the beginning or after a hyphen."""

    words: tuple[str, ...] = ()

    @classmethod
    def parse(cls, args: Sequence[str]) -> List:
        """What `args` ask for. Raises ValueError for an option, SystemExit after the help."""
        if {"-h", "--help"} & set(args):
            print(HELP, end="")
            raise SystemExit(0)
        if options := [word for word in args if word.startswith("-")]:
            raise ValueError(f"Unrecognized options: {options[0]}: see metarl list --help")
        return cls(tuple(args))

    def run(self) -> None:
        width = shutil.get_terminal_size((WIDTH, 0)).columns if sys.stdout.isatty() else WIDTH
        print("\n".join(table(matching(self.words), width=width)))
        if not self.words:
            print(f"\n{FOOT}")


def matching(words: Sequence[str]) -> list[Task]:
    """The tasks, each with those of its methods that make a preset with all `words`. Raises ValueError for none."""
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
    """Lines of at most `width` columns, if there is room. Neighbours that differ in nothing but size share a row."""
    rows = [
        ([task.name for task in alike], wrap(about, ABOUT), ", ".join(methods))
        for (about, methods), group in groupby(tasks, key=lambda task: (task.about, task.methods))
        for alike in [list(group)]
    ]
    first = max(len(name) for names, _, _ in rows for name in names)
    room = max(LEAST, width - first - ABOUT - 4)
    for names, about, methods in [([HEAD[0]], [HEAD[1]], HEAD[2]), *rows]:
        for cells in zip_longest(names, about, wrap(methods, room, break_on_hyphens=False), fillvalue=""):
            yield f"{cells[0]:{first}}  {cells[1]:{ABOUT}}  {cells[2]}".rstrip()


def _has(name: str, word: str) -> bool:
    """Whether `word` is in `name`, at the beginning or after a hyphen."""
    return word != "" and f"-{word}" in f"-{name}"
