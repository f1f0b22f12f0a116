"""Bad settings and command lines: each is refused in one line, before anything is made."""

from pathlib import Path

import library_calls  # noqa: F401  (which finds the tables)
import pytest
from bad_command_lines import Case, cases
from commands import Expect
from runs import Runs
from sampling import sampled

CASES = cases()


def test_there_are_as_many_as_there_should_be() -> None:
    assert len(CASES) >= 300


@pytest.mark.parametrize("case", sampled(CASES, 60), ids=lambda case: " ".join(case[0]))
def test_a_bad_command_line(case: Case, runs: Runs, tmp_path: Path, expect: Expect) -> None:
    arguments, words = case
    run, empty = tmp_path / "run", tmp_path / "empty"
    empty.mkdir()
    runs.link("point", run)
    outcome = runs.server.run(
        *(word.replace("{run}", str(run)).replace("{tmp}", str(empty)) for word in arguments), folder=empty, limit=30
    )
    expect(outcome, "refused", words)
    assert outcome.err.count("\n") == 1
    assert not list(empty.iterdir())
