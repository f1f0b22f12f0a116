"""progress.csv: a row of metrics for each logged iteration, without times, so that equal runs have equal files."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from metarl.files import append_text, read_text, regular_file, write_text


class ProgressFile:
    """A progress.csv that is being written. `text` is its content."""

    def __init__(self, path: Path, text: str = "") -> None:
        """Start the file with `text`, the rows up to the checkpoint from which the run continues."""
        self.path, self.text = path, text
        write_text(path, text)
        self.columns = text.splitlines()[0].split(",") if text else []

    def append(self, row: dict[str, float]) -> None:
        """Append a row; the first row fixes the columns. Raises OSError if the file cannot be written."""
        lines = io.StringIO()
        writer = csv.DictWriter(lines, self.columns or list(row), lineterminator="\n")
        if not self.columns:
            self.columns = list(row)
            writer.writeheader()
        writer.writerow(row)
        append_text(self.path, lines.getvalue())
        self.text += lines.getvalue()


def read_progress(path: Path) -> list[dict[str, float]]:
    """The rows of a progress.csv, without a last row that a crash left incomplete.

    Raises ValueError, which names the line, if another row is incomplete, not numerical, or out of order.
    """
    text = read_text(path)
    header, *lines = text.split("\n")
    columns = header.split(",")
    rows: list[dict[str, float]] = []
    for number, line in enumerate(lines[:-1], 2):  # an incomplete row may follow the last line break
        try:
            row = dict(zip(columns, map(float, line.split(",")), strict=True))
            if row["iteration"] <= (rows[-1]["iteration"] if rows else 0):
                raise ValueError("its iteration does not follow that of the line before")
        except (ValueError, KeyError) as error:
            raise ValueError(f"{path} is damaged in line {number} ({error}): restore it or train again") from None
        rows.append(row)
    return rows


def last_iteration(path: Path) -> int:
    """The last iteration in a progress.csv that can be read; 0 if there is none."""
    found = 0
    if path.exists():
        for line in read_text(path).split("\n")[1:]:
            first = line.partition(",")[0]
            found = max(found, int(first)) if first.isdecimal() else found
    return found


def missing_rows(path: Path, text: str) -> str | None:
    """Which rows of `text`, those up to a checkpoint, the file at `path` lacks, in words; None if it has them all."""
    if not path.exists():
        return "the file is missing"
    try:
        have = regular_file(path).read_bytes().decode(errors="replace")
    except OSError as error:
        return f"the file cannot be read: {error.strerror}"
    except ValueError as error:
        return str(error).partition(":")[0]
    if have.startswith(text):
        return None
    rows, wanted = set(have.splitlines()[1:]), text.splitlines()[1:]
    missing = [line.partition(",")[0] for line in wanted if line not in rows]
    return f"{len(missing)} of {len(wanted)} rows, the first of iteration {missing[0]}" if missing else "its header"
