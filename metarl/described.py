"""Objects that remember their constructor's arguments, so that a run folder can store them and make them again."""

from __future__ import annotations

from typing import Any, Self


class Described:
    """The base of classes whose instances remember the arguments that they were made with."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        made = super().__new__(cls)
        made.__dict__["_arguments"] = (args, kwargs)
        return made
