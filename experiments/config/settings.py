"""What the dataclasses of settings share: each setting is checked, and a message names it as the command line does."""

from __future__ import annotations

from abc import ABC
from dataclasses import replace
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal, Self

from metarl.ranges import Range, Settings

Device = Literal["auto", "cpu", "cuda"]
MOST = 1_000_000_000
Number = Annotated[int, Range(1, MOST)]
"""Of tasks, shots, steps and the like: 1, 2, …; that so many fit the memory is checked where they are drawn."""
Seed = Annotated[int, Range(0, MOST)]
LAST = 99_999_999
Iterations = Annotated[int, Range(1, LAST)]
"""A checkpoint's name has eight digits."""
Steps = Annotated[int, Range(0, 10_000)]
"""Inner steps, each of which keeps a graph of its own."""
Width = Annotated[int, Range(1, 100_000)]
"""Units of a hidden layer."""
Cores = Annotated[int, Range(0, 1024)]
"""Threads; 0: as many as there are cores."""
Epochs = Annotated[int, Range(1, 10_000)]
Clip = Annotated[float, Range(0, 1, above=True)]
"""How far a ratio of probabilities may leave 1."""
Fraction = Annotated[float, Range(0, 1, above=True)]
FREE = {"free": True}
"""Marks a setting that leaves what is learned alone: runs that differ in it are still of one group."""
METHODS_OWN = {"methods_own": True}
"""Marks a setting of a task that belongs to the method: with another value of any other, scores do not compare."""
LARGEST_NET = 2**28  # parameters, 1 GiB: a meta-gradient holds several copies


class Part(Settings, ABC):
    """The base of a part of `Config`; a subclass says which, `class TaskSettings(Part, path="task")`.

    A message that begins with a setting's name then begins with its path: "task.shots is 0: …".
    """

    path: ClassVar[str] = ""

    def __init_subclass__(cls, path: str | None = None, **rest: Any) -> None:
        super().__init_subclass__(**rest)
        if path is not None:
            cls.path = path

    def __post_init__(self) -> None:
        try:
            super().__post_init__()
        except ValueError as error:
            raise ValueError(f"{self.path}.{error}") from None

    def but(self, **changes: Any) -> Self:
        """The same with some settings changed."""
        return replace(self, **changes)  # type: ignore[type-var]  # every subclass is a dataclass

    def check(self, config: Any) -> None:
        """Raise ValueError where this does not go with the other parts of the `Config`."""


def check_hidden(hidden: tuple[int, ...], name: str) -> None:
    """Raise ValueError where a net of these hidden layers would not fit the memory."""
    count = sum(a * b for a, b in pairwise(hidden))
    if count > LARGEST_NET:
        raise ValueError(
            f"{name} is {hidden}: that is a net of {count:,} parameters, {4 * count / 2**30:,.0f} GiB each copy; give "
            f"layers with {LARGEST_NET:,} parameters at most"
        )


def check_lrs(lr: float, lr_end: float) -> None:
    """Raise ValueError where a step size would rise."""
    if lr_end > lr:
        raise ValueError(f"lr_end is {lr_end}, more than lr, {lr}: give 0 ≤ lr_end ≤ lr")
