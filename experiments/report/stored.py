"""JSON files of scores: a row a line for people to read, and checked when they are read, as anybody may edit them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from metarl.files import read_text, write_text
from metarl.ranges import check

REQUIRED = object()


class Stored:
    """The object in the JSON file `file`; every error names the file and ends with `remedy`, what to do."""

    def __init__(self, file: Path, *, remedy: str) -> None:
        self.file, self.remedy = file, remedy
        text = read_text(file)
        try:
            self.values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise self.damaged(error) from None
        if not isinstance(self.values, dict):
            raise self.damaged("it holds no object")

    def value(self, name: str, hint: Any, default: Any = REQUIRED) -> Any:
        """What is called `name`, which must fit the annotation `hint`; `default` where it is missing."""
        if name not in self.values:
            if default is REQUIRED:
                raise self.damaged(f"it has no {name}")
            return default
        self.check(hint, self.values[name], name)
        return self.values[name]

    def check(self, hint: Any, value: Any, name: str) -> None:
        """Raise ValueError unless `value`, called `name`, fits the annotation `hint`."""
        try:
            check(hint, value, name)
        except ValueError as error:
            raise self.damaged(error) from None

    def check_run(self, run: str) -> None:
        """Raise ValueError unless the file says that it is of the run whose id is `run`."""
        if self.value("run", str) != run:
            raise ValueError(f"{self.file} holds the scores of another run: {self.remedy}")

    def damaged(self, reason: object) -> ValueError:
        """An error that says why the file cannot be used."""
        return ValueError(f"{self.file} is damaged ({reason}): {self.remedy}")


def write_stored(values: dict[str, Any], file: Path) -> None:
    """Write `values` as JSON, a line each; of a list of lists or objects, a line for each of these."""
    lines = []
    for name, value in values.items():
        text = json.dumps(value)
        if value and isinstance(value, list) and isinstance(value[0], list | dict):
            text = "[\n    " + ",\n    ".join(map(json.dumps, value)) + "\n  ]"
        lines.append(f"  {json.dumps(name)}: {text}")
    write_text(file, "{\n" + ",\n".join(lines) + "\n}\n")
