"""The fault suite: bad input, damaged files, full disks, signals and kills, from tables; the counts are printed.

METARL_FAULTS=all runs every case (`make test-faults`), else a fixed sample of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from commands import Expect, Outcome, Server
from runs import Runs

LABELS = (
    "refused",
    "went on",
    "interrupted",
    "killed",
    "equal",
    "traceback",
    "hang",
    "silent",
    "unclear",
    "wrong",
)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """What runs commands, each in a process of its own."""
    server = Server(tmp_path_factory.mktemp("server"))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def runs(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Small runs to damage."""
    return Runs(server, tmp_path_factory.mktemp("runs"))


@pytest.fixture
def label(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Counts a case under one of `LABELS`."""
    return lambda name: record_property("fault", name)


@pytest.fixture
def expect(label: Callable[[str], None]) -> Expect:
    """`expect(outcome, "refused", *words)`: what a command has to come to, and words that its last line must have.

    "done" and "interrupted" likewise, with words among all that it said to stderr.
    """

    def judge(outcome: Outcome, kind: str, *words: str) -> None:
        said = outcome.line if kind == "refused" else outcome.err
        found = outcome.kind
        if found == kind and not all(word in said for word in words):
            found = "unclear"
        good = kind.replace("done", "went on")
        label(good if found == kind else {"done": "silent", "refused": "wrong"}.get(found, found))
        assert found == kind, f"{found}, not {kind}: {outcome.status} {words}\n{outcome.out}\n{outcome.err}"

    return judge


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how many cases of each table came to what."""
    counts: dict[str, Counter[str]] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", None) == "call" and "faults" in Path(report.nodeid.split("::")[0]).parts:
                table = Path(report.nodeid.split("::")[0]).stem.removeprefix("test_").replace("_", " ")
                for label in (value for name, value in report.user_properties if name == "fault"):
                    counts.setdefault(table, Counter())[label] += 1
    if not counts:
        return
    terminalreporter.section("faults")
    terminalreporter.write_line(f"{'':24}{'cases':>8}" + "".join(f"{label:>12}" for label in LABELS))
    for table, found in [*sorted(counts.items()), ("all", sum(counts.values(), Counter()))]:
        numbers = "".join(f"{found[label]:>12}" for label in LABELS)
        terminalreporter.write_line(f"{table:24}{found.total():>8}{numbers}")
