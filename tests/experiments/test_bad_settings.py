"""Bad command lines, a sample: each is refused in one line that names what is wrong, and nothing is made.

All of them are tried by tests/faults.
"""

import shutil
from pathlib import Path

import pytest
from bad_command_lines import NAMES, OTHERS, SIZES, Case, cases, settings

from metarl.experiments.cli import main

TINY = "--iterations 1 --meta-batch 2 --task.trajectories 2 --task.horizon 5"
SAMPLE = [*list(settings())[::17], *NAMES[::4], *OTHERS[::5], *SIZES[::4]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "point"
    main(["train", "point-nav-2017-maml", *TINY.split(), "--out", str(path)])
    return path


def test_there_are_many_and_all_differ() -> None:
    assert len(cases()) > 900
    assert len(set(cases())) == len(cases())


@pytest.mark.parametrize("case", SAMPLE, ids=lambda case: " ".join(case[0]))
def test_a_mistake_is_one_line(capsys: pytest.CaptureFixture[str], run: Path, tmp_path: Path, case: Case) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    arguments, words = case
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main([word.replace("{run}", str(run)).replace("{tmp}", str(tmp_path)) for word in arguments])
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert words in said
    assert not list(tmp_path.iterdir())
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_an_option_of_a_resumed_run_that_is_gone(capsys: pytest.CaptureFixture[str], run: Path, tmp_path: Path) -> None:
    gone = tmp_path / "run"
    shutil.copytree(run, gone)
    (gone / "config.json").unlink()
    with pytest.raises(SystemExit):
        main(["train", "--resume", str(gone)])
    assert "it has no config.json" in capsys.readouterr().err
