"""Files are written whole or not at all, never through another's links; only regular files are read."""

import errno
import os
import socket
import stat
from pathlib import Path

import pytest

from metarl.files import (
    append_text,
    atomic_write,
    check_writable,
    draft_path,
    read_text,
    regular_file,
    remove_drafts,
    write_text,
)


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A file of the user's that nothing may touch."""
    file = tmp_path / "victim"
    file.write_text("precious")
    return file


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_a_link_is_replaced_and_not_written_through(tmp_path: Path, victim: Path) -> None:
    link = tmp_path / "link.json"
    link.symlink_to(victim)
    write_text(link, "new")
    assert (victim.read_text(), link.read_text(), link.is_symlink()) == ("precious", "new", False)


@pytest.mark.parametrize("name", [".progress.csv.draft", ".progress.draft.csv"])
def test_a_link_laid_where_a_draft_might_be_is_left_alone(tmp_path: Path, victim: Path, name: str) -> None:
    (tmp_path / name).symlink_to(victim)
    write_text(tmp_path / "progress.csv", "new")
    assert victim.read_text() == "precious"
    assert (tmp_path / name).is_symlink()


def test_names_of_drafts_cannot_be_foreseen_and_links_there_stop_the_writing(
    tmp_path: Path, victim: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file.json"
    assert draft_path(path) != draft_path(path)
    monkeypatch.setattr("metarl.files.secrets.token_hex", lambda _: "known")
    draft_path(path).symlink_to(victim)
    with pytest.raises(OSError, match=r"cannot write .*file.json \(File exists\)"):
        write_text(path, "new")
    assert victim.read_text() == "precious"


def test_what_fails_leaves_the_old_file_and_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")

    def fail(error: BaseException) -> None:
        with atomic_write(path) as draft:
            draft.write_text("half")
            raise error

    with pytest.raises(OSError, match=r"cannot write .*file.txt \(No space left on device\): make room"):
        fail(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    with pytest.raises(KeyboardInterrupt):
        fail(KeyboardInterrupt())
    assert path.read_text() == "old"
    assert leftovers(tmp_path) == []


def test_files_can_be_read_by_whom_the_umask_says(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        write_text(tmp_path / "file.txt", "text")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "file.txt").stat().st_mode) == 0o640


def test_a_name_that_is_too_long_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"cannot write .*File name too long"):
        write_text(tmp_path / ("x" * 300), "text")


def test_appending_needs_the_file_itself(tmp_path: Path, victim: Path) -> None:
    path = tmp_path / "rows.csv"
    with pytest.raises(OSError, match=r"cannot write .*rows.csv"):
        append_text(path, "row\n")  # which has gone
    path.symlink_to(victim)
    with pytest.raises(OSError, match=r"cannot write .*rows.csv"):
        append_text(path, "row\n")
    assert victim.read_text() == "precious"
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(OSError, match=r"cannot write .*rows.csv"):
        append_text(path, "row\n")  # without waiting for a reader
    path.unlink()
    path.write_text("one\n")
    append_text(path, "two\n")
    assert path.read_text() == "one\ntwo\n"


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("text")
    (tmp_path / "link").symlink_to(tmp_path / "text")
    assert read_text(tmp_path / "link") == "text"
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for name, words in {
        "pipe": "is a pipe", "dangling": "is a broken link", "socket": "is a socket", ".": "is a folder",
        "missing": "does not exist", "binary": "it is not UTF-8 text", "text/below": "Not a directory",
    }.items():  # fmt: skip
        with pytest.raises(ValueError, match=words):
            read_text(tmp_path / name)
    with pytest.raises(ValueError, match="is a device"):
        regular_file(Path("/dev/null"))


def test_drafts_of_killed_processes_are_swept(tmp_path: Path, victim: Path) -> None:
    draft_path(tmp_path / "file.json").write_text("half")
    (folder := draft_path(tmp_path / "00000010")).mkdir()
    (folder / "state.pt").write_text("half")
    (tmp_path / ".link.draft").symlink_to(victim)
    (tmp_path / ".other").write_text("the user's")
    remove_drafts(tmp_path)
    assert leftovers(tmp_path) == [".other"]
    assert victim.read_text() == "precious"


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    check_writable(tmp_path)
    assert leftovers(tmp_path) == []
    with pytest.raises(OSError, match=r"cannot write .*missing"):
        check_writable(tmp_path / "missing")
