"""Faults of the file system: one line with file and reason, the last checkpoint whole, no draft left behind."""

from pathlib import Path

import pytest
from commands import Expect
from file_system import CASES, RESUME, TRAIN, Case
from run_folders import stop
from runs import Runs, drafts, result
from sampling import sampled


def test_there_are_as_many_as_there_should_be() -> None:
    assert len(CASES) >= 60


@pytest.mark.parametrize("case", sampled(CASES, 20), ids=str)
def test_a_fault_of_the_file_system(case: Case, runs: Runs, tmp_path: Path, expect: Expect) -> None:
    place, log = tmp_path / "place", tmp_path / "log"
    place.mkdir()
    if "RUN" in case.args:
        runs.copy(case.kind, place / "RUN")
        if case.args == RESUME:
            stop(place / "RUN")
    args = runs.command(case.kind, Path("run")) if case.args == TRAIN else case.args
    if case.laid:
        case.laid(place)
    fault = dict(case.injected)
    if "call" in fault:
        fault |= {"below": str(place / fault["below"]), "log": str(log)}
    stdout = Path(case.stdout) if case.stdout else None
    outcome = runs.server.run(*args, folder=place, fault=fault or None, out=stdout)
    met = log.read_text() if log.exists() else ""
    assert "call" not in fault or met, f"the fault was not met: {outcome}"
    if "events." in met and fault["once"]:  # TensorBoard's alone: training goes on
        expect(outcome, "done", "TensorBoard events cannot be written", *case.words)
    else:
        expect(outcome, case.expected, *case.words)
    assert drafts(place) == []
    if case.args in (TRAIN, RESUME):
        run = place / ("RUN" if case.args == RESUME else "run")
        begun = (run / "config.json").exists()
        again = runs.server.run(*(("train", "--resume", run) if begun else args), folder=place)
        assert again.kind == "done", again
        assert result(run) == result(runs.finished(case.kind))
        assert drafts(place) == []
