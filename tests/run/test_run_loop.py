"""The loop around training: what a run leaves, and that a run that stopped in whatever way equals one that did not."""

import re
import shutil
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from training import Hooked, result, run

from metarl.run import board, loop
from metarl.run.checkpoint import evenly_spaced
from metarl.run.folder import RunFolder
from metarl.run.loop import Schedule
from metarl.run.progress import read_progress


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("whole") / "run").path


@pytest.fixture
def stopped(whole: Path, tmp_path: Path) -> Path:
    """The same run, killed after iteration 7: its newest checkpoint is of iteration 6."""
    path = tmp_path / "run"
    shutil.copytree(whole, path)
    for iteration in (8, 10):
        RunFolder.open(path).remove(iteration)
    lines = (path / "progress.csv").read_text().splitlines(keepends=True)
    (path / "progress.csv").write_text("".join(lines[:8]))
    return path


DAMAGES = {
    "as it was": (lambda text: text, None),
    "rows after the checkpoint": (lambda text: text + text.splitlines()[-1].replace("7,", "8,", 1) + "\n", None),
    "a row cut short": (lambda text: text[:-20], None),
    "cut in the middle": (lambda text: text[: len(text) // 2], r"\d of 6 rows, the first of iteration \d"),
    "emptied": (lambda text: "", "6 of 6 rows, the first of iteration 1"),
    "a row missing": (lambda text: re.sub("(?m)^3,.*\n", "", text), "1 of 6 rows, the first of iteration 3"),
    "NULs": (lambda text: text[:100] + "\0" * 50 + text[150:], r"\d of 6 rows, the first of iteration"),
    "another header": (lambda text: "x" + text, "its header"),
    "gone": (None, "the file is missing"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_progress_is_restored_and_said(
    damage: str, stopped: Path, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change, words = DAMAGES[damage]
    file = stopped / "progress.csv"
    file.write_text(change(file.read_text())) if change else file.unlink()
    run(stopped)
    said = capsys.readouterr().err
    assert result(stopped) == result(whole)
    if words is None:
        assert "lacks" not in said
    else:
        assert re.search(words, said)


def test_checkpoints_that_are_gone_stop_a_run(stopped: Path) -> None:
    for iteration in (2, 4, 6):
        RunFolder.open(stopped).remove(iteration)
    before = (stopped / "progress.csv").read_text()
    with pytest.raises(ValueError, match="has progress up to iteration 7 and no checkpoint: restore its checkpoints"):
        run(stopped)
    shutil.rmtree(stopped / "checkpoints")
    with pytest.raises(ValueError, match="has progress up to iteration 7 and no checkpoint"):
        run(stopped)
    assert (stopped / "progress.csv").read_text() == before


def test_a_run_killed_before_its_first_checkpoint_begins_anew(stopped: Path, whole: Path) -> None:
    for iteration in (2, 4, 6):
        RunFolder.open(stopped).remove(iteration)
    lines = (stopped / "progress.csv").read_text().splitlines(keepends=True)
    (stopped / "progress.csv").write_text("".join(lines[:3]))  # a row of iteration 2 comes before its checkpoint
    run(stopped)
    assert result(stopped) == result(whole)


def test_what_is_kept_is_what_the_best_is_chosen_from(tmp_path: Path) -> None:
    for iterations, every, keep in ((50, 2, 6), (51, 2, 6), (7, 10, 6), (60, 1, 3)):
        schedule = Schedule(iterations, checkpoint_every=every, keep=keep)
        for zero in ([], [0]):
            saved = [*zero, *range(every, iterations, every), iterations]
            kept = [i for i in saved if i in (schedule.kept() or ()) or i in saved[-2:]]
            assert set(evenly_spaced(saved, keep)) <= set(kept)
            assert len(kept) <= 2 * keep + 2
    assert run(tmp_path / "few", keep=2).checkpoints() == [4, 8, 10]
    assert run(tmp_path / "all", keep=0).checkpoints() == [2, 4, 6, 8, 10]
    assert Schedule(10, keep=0).kept() is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_run_after_a_checkpoint(
    number: signal.Signals, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run", Hooked(lambda done: done == 4 and signal.raise_signal(number)))
    assert "stopped after iteration 5; continue with: go on" in capsys.readouterr().err
    assert signal.getsignal(number) is before
    assert RunFolder.open(tmp_path / "run").checkpoints() == [2, 4, 5]
    run(tmp_path / "run")
    assert result(tmp_path / "run") == result(whole)
    assert RunFolder.open(tmp_path / "run").checkpoints() == RunFolder.open(whole).checkpoints()


def test_a_second_signal_acts_at_once(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run", Hooked(lambda done: done == 4 and [signal.raise_signal(signal.SIGINT) for _ in "ab"]))
    assert RunFolder.open(tmp_path / "run").checkpoints() == [2, 4]


def test_a_run_outside_the_main_thread(tmp_path: Path, whole: Path) -> None:
    thread = threading.Thread(target=run, args=(tmp_path / "run",))
    thread.start()
    thread.join(60)
    assert result(tmp_path / "run") == result(whole)


@pytest.mark.parametrize("method", ["__init__", "write", "close"])
def test_tensorboard_that_fails_does_not_end_a_run(
    method: str, tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(board.RecordWriter, method, full)
    run(tmp_path / "run")
    assert capsys.readouterr().err.count("TensorBoard events cannot be written") == 1
    assert result(tmp_path / "run") == result(whole)


def test_tensorboard_reads_scalars_and_those_of_a_run_that_went_back_once(tmp_path: Path) -> None:
    for start, end, scale in ((0, 5, 1.0), (3, 6, 10.0)):
        with board.Board(tmp_path, start=start) as events:
            for iteration in range(start + 1, end + 1):
                events.add({"loss": scale * iteration}, iteration)
    read = EventAccumulator(str(tmp_path))
    read.Reload()
    assert [(e.step, e.value) for e in read.Scalars("loss")] == [(1, 1), (2, 2), (3, 3), (4, 40), (5, 50), (6, 60)]


@pytest.mark.parametrize("away", [shutil.rmtree, lambda path: path.rename(path.with_name("moved"))])
def test_a_folder_that_goes_away_ends_a_run_with_its_reason(away: Callable[[Path], object], tmp_path: Path) -> None:
    path = tmp_path / "run"
    with pytest.raises(OSError, match=r"cannot write .*run.* \(No such file or directory\)"):
        run(path, Hooked(lambda done: done == 4 and away(path)))
    assert not path.exists()


def test_rows_of_progress_are_whole_rising_numbers(tmp_path: Path) -> None:
    file = tmp_path / "progress.csv"
    file.write_text("iteration,loss\n1,0.5\n2,nan\n3,0.1")
    assert [row["iteration"] for row in read_progress(file)] == [1, 2]  # the last one was cut short
    for text, words in (
        ("iteration,loss\n1\n2,0.5\n", "damaged in line 2"),
        ("iteration,loss\n2,0.5\n1,0.5\n", "line 3 .*does not follow"),
        ("iteration,loss\n1,x\n", "line 2 .*could not convert"),
        ("loss\n1\n", "damaged in line 2"),
    ):
        file.write_text(text)
        with pytest.raises(ValueError, match=words):
            read_progress(file)


def test_other_kernels_than_the_run_was_begun_with_are_said(
    stopped: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(loop, "versions", lambda: {"blas": "openblas Other"})
    run(stopped)
    assert "started with the BLAS openblas" in capsys.readouterr().err
