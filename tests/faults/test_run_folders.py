"""Damaged run folders: each is refused in one line that names what is wrong, or repaired where nothing is lost."""

import shutil
from pathlib import Path

import pytest
from commands import Expect
from run_folders import CASES, IN_PRETRAINING, RESUME, Case, stop
from runs import Runs, drafts, result
from sampling import sampled


def test_there_are_as_many_as_there_should_be() -> None:
    assert len(CASES) >= 120


@pytest.mark.parametrize("case", sampled(CASES, 20), ids=str)
def test_a_damaged_run_folder(case: Case, runs: Runs, tmp_path: Path, expect: Expect) -> None:
    run, others = runs.copy(case.kind, tmp_path / "RUN"), tmp_path / "others"
    for kind in ("sinusoid", "half-cheetah"):
        if f"another {kind}" in case.name:
            runs.again(kind, others / kind)
    if case.args == RESUME:
        stop(run)
        if case.kind == IN_PRETRAINING:
            shutil.rmtree(run / "checkpoints")
            (run / "progress.csv").unlink()
            shutil.rmtree(run / "pretraining" / "checkpoints" / "00000110")
    case.damage(run)
    try:
        outcome = runs.server.run(*case.args, folder=tmp_path, limit=40)
    finally:
        for path in (run, run / "checkpoints"):
            if path.is_dir():
                path.chmod(0o755)
    expect(outcome, case.expected, *case.words)
    assert not (run.is_dir() and case.name != "half written files" and drafts(run))
    if case.args == RESUME and case.expected == "done":
        assert result(run) == result(runs.finished(case.kind))
        assert not drafts(run)
