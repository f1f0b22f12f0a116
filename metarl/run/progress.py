"""progress.csv: a row for every logged iteration, of exact numbers only (no clock): equal runs have equal files."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from metarl.files import append_text, read_text, regular_file, write_text


class ProgressFile:
    """A progress.csv that is written to. `text` is what it holds."""

    def __init__(self, path: Path, text: str = "") -> None:
        """Begin the file anew with `text`, the rows up to the checkpoint from which a run goes on."""
        self.path, self.text = path, text
        write_text(path, text)
        self.columns = text.splitlines()[0].split(",") if text else []

    def append(self, row: dict[str, float]) -> None:
        """Append a row; the first one fixes the columns. Raises OSError where the file cannot be written any more."""
        lines = io.StringIO()
        writer = csv.DictWriter(lines, self.columns or list(row), lineterminator="\n")
        if not self.columns:
            self.columns = list(row)
            writer.writeheader()
        writer.writerow(row)
        append_text(self.path, lines.getvalue())
        self.text += lines.getvalue()


def read_progress(path: Path) -> list[dict[str, float]]:
    """The rows of a progress.csv, less a last one that a crash cut short.

    Raises ValueError, naming the line, where another row is not whole, no number, or out of order.
    """
    text = read_text(path)
    header, *lines = text.split("\n")
    columns = header.split(",")
    rows: list[dict[str, float]] = []
    for number, line in enumerate(lines[:-1], 2):  # after the last line break is nothing, or a row cut short
        try:
            row = dict(zip(columns, map(float, line.split(",")), strict=True))
            if row["iteration"] <= (rows[-1]["iteration"] if rows else 0):
                raise ValueError("its iteration does not follow that of the line before")
        except (ValueError, KeyError) as error:
            raise ValueError(f"{path} is damaged in line {number} ({error}): restore it or train anew") from None
        rows.append(row)
    return rows


def last_iteration(path: Path) -> int:
    """The last iteration in a progress.csv, as far as it can be read; 0 where there is none."""
    found = 0
    if path.exists():
        for line in read_text(path).split("\n")[1:]:
            first = line.partition(",")[0]
            found = max(found, int(first)) if first.isdecimal() else found
    return found


def missing_rows(path: Path, text: str) -> str | None:
    """What the file at `path` lacks of `text`, the rows up to a checkpoint, in words; None where it has them all."""
    if not path.exists():
        return "it is gone"
    try:
        have = regular_file(path).read_bytes().decode(errors="replace")
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    except ValueError as error:
        return str(error).partition(":")[0]
    if have.startswith(text):
        return None
    rows, wanted = set(have.splitlines()[1:]), text.splitlines()[1:]
    missing = [line.partition(",")[0] for line in wanted if line not in rows]
    return f"{len(missing)} of {len(wanted)} rows, the first of iteration {missing[0]}" if missing else "its header"
