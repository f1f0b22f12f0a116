"""Run folders: made once, taken up when a killed process began them, and never a way to write elsewhere."""

import json
import os
import shutil
from pathlib import Path

import pytest
from training import STORED, run, training

from metarl.run.checkpoint import Record
from metarl.run.folder import RunFolder, owner


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"is not empty .* choose another --out"):
        RunFolder.create(tmp_path / "run", STORED)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ValueError, match="is not empty"):
        RunFolder.create(tmp_path / "file", STORED)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="is not empty"):
        RunFolder.create(tmp_path / "link", STORED)
    with pytest.raises(OSError, match=r"cannot write .*file/run .*choose another --out"):
        RunFolder.create(tmp_path / "file" / "run", STORED)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("left", [(), ("checkpoints",), ("checkpoints", ".0123456789abcdef.draft.json", ".lock")])
def test_a_folder_that_a_killed_process_began_is_taken_up(tmp_path: Path, left: tuple[str, ...]) -> None:
    path = tmp_path / "run"
    path.mkdir()
    for name in left:
        (path / name).mkdir() if name == "checkpoints" else (path / name).touch()
    run(path)
    assert RunFolder.open(path).newest().name == "00000010"
    assert not list(path.glob(".*.draft*"))


def test_links_of_a_foreign_folder_are_not_written_through(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    for name in ("progress.csv", ".lock", "config.json", "validation.json"):
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        path = run(tmp_path / "run", training(4)).path
        victim.write_text("precious")
        (path / name).unlink(missing_ok=True)
        (path / name).symlink_to(victim)
        try:
            run(path)
        except (ValueError, OSError) as error:
            assert len(str(error).splitlines()) == 1  # noqa: PT017
        assert victim.read_text() == "precious", name


def test_folders_inside_that_are_links_are_refused(tmp_path: Path) -> None:
    path, elsewhere = run(tmp_path / "run").path, tmp_path / "elsewhere"
    (elsewhere / "00000001").mkdir(parents=True)
    shutil.rmtree(path / "checkpoints")
    (path / "checkpoints").symlink_to(elsewhere)
    with pytest.raises(ValueError, match="checkpoints is not a folder of this run"):
        RunFolder.open(path)
    assert [child.name for child in elsewhere.iterdir()] == ["00000001"]


@pytest.mark.parametrize(
    "what", ["pipe", "folder", "dangling", "device", "[]", "{", "null", "[[" * 5000, '{"run": 1}', "\xff"]
)
def test_a_config_that_is_none_is_named(tmp_path: Path, what: str) -> None:
    path = run(tmp_path / "run").path
    file = path / "config.json"
    file.unlink()
    if what == "pipe":
        os.mkfifo(file)
    elif what == "folder":
        file.mkdir()
    elif what in ("dangling", "device"):
        file.symlink_to("/dev/zero" if what == "device" else path / "nothing")
    else:
        file.write_bytes(what.encode("latin1"))
    with pytest.raises(ValueError, match="is not a run folder" if what == "dangling" else "config.json is damaged"):
        _ = RunFolder.open(path).config


def test_old_checkpoints_go_but_those_that_are_kept_and_the_newest_two(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", STORED)
    for iteration in range(1, 8):
        folder.save(training(), Record("id", iteration), "", keep={2, 5})
    assert folder.checkpoints() == [2, 5, 6, 7]
    folder.save(training(), Record("id", 7), "", keep=set())  # which is there
    assert folder.checkpoints() == [6, 7]
    for iteration in (8, 9):
        folder.save(training(), Record("id", iteration), "")
    assert folder.checkpoints() == [6, 7, 8, 9]
    assert not list((folder.path / "checkpoints").glob(".*"))


def test_a_copy_has_the_newest_checkpoint_or_is_not_there(tmp_path: Path) -> None:
    folder = run(tmp_path / "run")
    folder.copy(tmp_path / "copy")
    copy = RunFolder.open(tmp_path / "copy")
    assert (copy.checkpoints(), copy.config) == ([10], folder.config)
    assert copy.load(training())[0] == folder.record()
    (folder.newest() / "state.pt").write_bytes(b"")
    with pytest.raises(ValueError, match=r"state.pt was changed"):
        folder.copy(tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_files_that_a_run_needs_have_an_owner(tmp_path: Path) -> None:
    path = run(tmp_path / "run").path
    event = next(path.glob("events.*")).name
    for name in ("config.json", "progress.csv", "checkpoints/00000010/state.pt", "validation.json", event):
        assert owner(path / name) == path
    for name in ("evaluation.json", "plot.png", "notes/config.json"):
        assert owner(path / name) is None
    assert owner(tmp_path / "config.json") is None


def test_two_runs_have_different_ids_that_their_settings_keep(tmp_path: Path) -> None:
    first, second = (RunFolder.create(tmp_path / name, STORED) for name in ("a", "b"))
    assert first.config["run"] != second.config["run"]
    assert json.loads((tmp_path / "a" / "config.json").read_text()) == first.config
