"""Runs that are killed at random moments, also while they go on: each ends bit for bit as one never killed."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from kills import CASES, Case
from runs import Runs, drafts, result
from sampling import sampled


def test_there_are_as_many_as_there_should_be() -> None:
    assert sum(len(case.moments) for case in CASES) == 100


@pytest.mark.parametrize("case", sampled(CASES, 14), ids=str)
def test_a_killed_run_ends_as_if_it_had_not_been(
    case: Case, runs: Runs, tmp_path: Path, label: Callable[[str], None]
) -> None:
    run = tmp_path / "run"
    seconds, wanted = runs.whole(case.kind)
    for moment in case.moments:
        life = runs.server.start(*runs.stopped(case.kind, run))
        life.poll(moment * seconds)
        life.send(signal.SIGKILL)
        outcome = life.outcome()
        label("killed" if outcome.kind == "killed" else "too late")
        assert outcome.kind in ("killed", "done"), outcome
    outcome = runs.server.run(*runs.stopped(case.kind, run))
    equal = outcome.kind == "done" and result(run) == wanted
    label("equal" if equal else "wrong")
    assert equal, outcome
    assert drafts(run) == []
