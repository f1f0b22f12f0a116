"""Runs that are killed at random moments, also while they go on: each ends bit for bit as one never killed."""

import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from kills import CASES, Case
from runs import Runs, drafts, result
from sampling import sampled


def test_there_are_as_many_as_there_should_be() -> None:
    assert sum(len(case.moments) for case in CASES) == 100


def killed(runs: Runs, kind: str, run: Path, after: float) -> bool:
    """Whether a run that begins, or goes on, in `run` is killed after so many seconds, not at its end already."""
    life = runs.server.start(*runs.stopped(kind, run))
    life.poll(after)
    life.send(signal.SIGKILL)
    outcome = life.outcome()
    assert outcome.kind in ("killed", "done"), outcome
    return outcome.kind == "killed"


@pytest.mark.parametrize("case", sampled(CASES, 25), ids=str)
def test_a_killed_run_ends_as_if_it_had_not_been(
    case: Case, runs: Runs, tmp_path: Path, label: Callable[[str], None]
) -> None:
    run = tmp_path / "run"
    seconds, wanted = runs.whole(case.kind)
    for moment in case.moments:
        while not killed(runs, case.kind, run, moment * seconds):
            moment *= 0.7  # it had ended before: once more
            shutil.rmtree(run)
        label("killed")
    outcome = runs.server.run(*runs.stopped(case.kind, run))
    equal = outcome.kind == "done" and result(run) == wanted
    label("equal" if equal else "wrong")
    assert equal, outcome
    assert drafts(run) == []
