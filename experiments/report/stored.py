"""JSON files of scores, which are written in a readable form, and checked when they are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from metarl.files import read_text, write_text
from metarl.ranges import check

REQUIRED = object()


class Stored:
    """The JSON object in `file`. Error messages contain the file name and end with `remedy`."""

    def __init__(self, file: Path, *, remedy: str) -> None:
        self.file, self.remedy = file, remedy
        text = read_text(file)
        try:
            self.values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise self.damaged(error) from None
        if not isinstance(self.values, dict):
            raise self.damaged("it contains no object")

    def value(self, name: str, hint: Any, default: Any = REQUIRED) -> Any:
        """The value with the key `name`, which must fit the type hint; `default` if it is missing."""
        if name not in self.values:
            if default is REQUIRED:
                raise self.damaged(f"it has no {name}")
            return default
        self.check(hint, self.values[name], name)
        return self.values[name]

    def check(self, hint: Any, value: Any, name: str) -> None:
        """Raise ValueError unless `value`, which has the key `name`, fits the type hint."""
        try:
            check(hint, value, name)
        except ValueError as error:
            raise self.damaged(error) from None

    def check_run(self, run: str) -> None:
        """Raise ValueError unless the file contains the scores of the run whose id is `run`."""
        if self.value("run", str) != run:
            raise ValueError(f"{self.file} holds the scores of another run: {self.remedy}")

    def damaged(self, reason: object) -> ValueError:
        """An error that gives the reason why the file cannot be used."""
        return ValueError(f"{self.file} is damaged ({reason}): {self.remedy}")


def write_stored(values: dict[str, Any], file: Path) -> None:
    """Write `values` as JSON with one line for each, or for each element of a list of lists or of objects."""
    lines = []
    for name, value in values.items():
        text = json.dumps(value)
        if value and isinstance(value, list) and isinstance(value[0], list | dict):
            text = "[\n    " + ",\n    ".join(map(json.dumps, value)) + "\n  ]"
        lines.append(f"  {json.dumps(name)}: {text}")
    write_text(file, "{\n" + ",\n".join(lines) + "\n}\n")
