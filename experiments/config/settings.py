"""Types and checks that the dataclasses of settings share; errors name a setting as the command line does."""

from __future__ import annotations

from abc import ABC
from dataclasses import replace
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal, Self

from metarl.ranges import Range, Settings

Device = Literal["auto", "cpu", "cuda"]
MAX_NUMBER = 1_000_000_000
Number = Annotated[int, Range(1, MAX_NUMBER)]
"""A number of tasks, shots, steps or the like: 1, 2, …; sampling checks whether they fit into memory."""
Seed = Annotated[int, Range(0, MAX_NUMBER)]
MAX_ITERATIONS = 99_999_999
Iterations = Annotated[int, Range(1, MAX_ITERATIONS)]
"""A number of iterations, limited by the eight digits in the names of checkpoints."""
Steps = Annotated[int, Range(0, 10_000)]
"""A number of inner steps, limited because the graphs of all steps are kept in memory."""
Width = Annotated[int, Range(1, 100_000)]
"""The number of units of a hidden layer."""
Cores = Annotated[int, Range(0, 1024)]
"""A number of threads; 0 stands for the number of cores."""
Jobs = Annotated[int, Range(1, 256)]
"""A number of runs that are trained at the same time."""
Epochs = Annotated[int, Range(1, 10_000)]
Clip = Annotated[float, Range(0, 1, above=True)]
"""The clipping range ε of a probability ratio, which is clipped to [1 − ε, 1 + ε]."""
Fraction = Annotated[float, Range(0, 1, above=True)]
INCIDENTAL = {"incidental": True}
"""Marks a setting that is not part of the method: runs that differ only in such settings are compared as seeds."""
METHOD_SETTING = {"method_setting": True}
"""Marks a setting of a task that is part of the method. Scores are comparable only if all others are equal."""
LARGEST_NET = 2**28  # parameters, which take 1 GiB; a meta-gradient needs several copies


class Part(Settings, ABC):
    """The base of a part of `Config`. A subclass defines the part's name: `class TaskSettings(Part, path="task")`.

    Error messages begin with the setting's name on the command line: "task.shots is 0: …".
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
        """A copy of these settings with `changes`."""
        return replace(self, **changes)  # type: ignore[type-var]  # every subclass is a dataclass

    def check(self, config: Any) -> None:
        """Raise ValueError if these settings are inconsistent with the other parts of the `Config`."""


def check_hidden(hidden: tuple[int, ...], name: str) -> None:
    """Raise ValueError if a network with these hidden layers would not fit into memory."""
    count = sum(a * b for a, b in pairwise(hidden))
    if count > LARGEST_NET:
        raise ValueError(
            f"{name} is {hidden}: that is a network with {count:,} parameters, which take "
            f"{4 * count / 2**30:,.0f} GiB; give layers with at most {LARGEST_NET:,} parameters"
        )


def check_lrs(lr: float, lr_end: float) -> None:
    """Raise ValueError if the learning rate would increase."""
    if lr_end > lr:
        raise ValueError(f"lr_end is {lr_end}, more than lr, {lr}: give 0 ≤ lr_end ≤ lr")
