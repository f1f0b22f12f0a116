"""Objects that remember what they were made with, so that a run folder can say it and give them back."""

from __future__ import annotations

from typing import Any, Self


class Described:
    """The base of what remembers the arguments that it was made with."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        made = super().__new__(cls)
        made.__dict__["_arguments"] = (args, kwargs)
        return made
