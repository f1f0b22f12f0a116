"""Downloads from a server on this machine: whole, resumed, wrong, broken and refused."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from metarl.tasks.datasets.download import download

CONTENT = bytes(range(256)) * 1000
MD5 = hashlib.md5(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves CONTENT; `breaks` is after how many bytes it hangs up, `ranges` whether it can resume."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.status, self.breaks, self.ranges = CONTENT, 200, len(CONTENT), True
        self.asked: list[str | None] = []
        self.url = f"http://127.0.0.1:{self.server_port}/data.zip"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.asked.append(wanted)
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and self.server.ranges else 0
        status = 206 if start else self.server.status
        if start >= len(self.server.content):
            status = 416
        body = self.server.content[start:] if status in (200, 206) else b""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.server.breaks])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def left(path: Path) -> set[str]:
    """What is in the folder, except the lock."""
    return {entry.name for entry in path.parent.iterdir() if not entry.name.endswith(".lock")}


def test_whole_and_only_once(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "new" / "data.zip"
    for _ in range(2):
        download(server.url, path, md5=MD5)
    assert path.read_bytes() == CONTENT
    assert left(path) == {"data.zip"}
    assert server.asked == [None]


def test_a_broken_download_is_resumed(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "data.zip"
    server.breaks = 100_000
    with pytest.raises(OSError, match=r"download http://.*data.zip \(no connection, or it was lost\): try again"):
        download(server.url, path, md5=MD5)
    assert left(path) == {"data.zip.part"}
    have = (tmp_path / "data.zip.part").stat().st_size
    assert have > 0
    assert (tmp_path / "data.zip.part").read_bytes() == CONTENT[:have]
    server.breaks = len(CONTENT)
    download(server.url, path, md5=MD5)
    assert server.asked == [None, f"bytes={have}-"]
    assert path.read_bytes() == CONTENT
    assert left(path) == {"data.zip"}


def test_a_server_that_cannot_resume_starts_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / "data.zip.part").write_bytes(CONTENT[:5000])
    server.ranges = False
    download(server.url, tmp_path / "data.zip", md5=MD5)
    assert (tmp_path / "data.zip").read_bytes() == CONTENT


def test_a_part_that_is_whole_is_taken(server: Server, tmp_path: Path) -> None:
    (tmp_path / "data.zip.part").write_bytes(CONTENT)
    download(server.url, tmp_path / "data.zip", md5=MD5)
    assert left(tmp_path / "data.zip") == {"data.zip"}


@pytest.mark.parametrize("part", [b"", b"wrong" * 10, CONTENT + b"more"], ids=["none", "wrong", "long"])
def test_wrong_content_is_not_kept(server: Server, tmp_path: Path, part: bytes) -> None:
    path = tmp_path / "data.zip"
    (tmp_path / "data.zip.part").write_bytes(part)
    server.content = b"something else" if not part else CONTENT
    with pytest.raises(OSError, match=rf"is not the expected one \(its md5 is not {MD5}\): try again") as error:
        download(server.url, path, md5=MD5)
    assert "\n" not in str(error.value)
    assert left(path) == set()
    server.content = CONTENT
    download(server.url, path, md5=MD5)
    assert path.read_bytes() == CONTENT


def test_refusals_name_the_reason_and_the_remedy(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "data.zip"
    server.status = 404
    with pytest.raises(OSError, match=rf"the server answered 404\): try again, or .* save it as {path}"):
        download(server.url, path, md5=MD5)
    with pytest.raises(OSError, match="no connection"):
        download("http://127.0.0.1:1/data.zip", path, md5=MD5)
    assert left(path) == set()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match=r"cannot write .*file/data.zip \(.*\): give another folder by --data"):
        download(server.url, tmp_path / "file" / "data.zip", md5=MD5)


@pytest.mark.parametrize("kind", ["symlink", "hard link", "pipe", "folder"])
def test_a_foreign_part_is_not_written_through(server: Server, tmp_path: Path, kind: str) -> None:
    mine, part = tmp_path / "mine", tmp_path / "data.zip.part"
    mine.write_bytes(b"precious")
    make = {
        "symlink": lambda: part.symlink_to(mine), "hard link": lambda: part.hardlink_to(mine),
        "pipe": lambda: os.mkfifo(part), "folder": part.mkdir,
    }  # fmt: skip
    make[kind]()
    for server.ranges in (True, False):
        with pytest.raises(OSError, match=r"cannot write .*data.zip \(.+\): give another folder by --data") as error:
            download(server.url, tmp_path / "data.zip", md5=MD5)
        assert "\n" not in str(error.value)
    assert mine.read_bytes() == b"precious"


def test_what_is_no_file_is_named(server: Server, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.zip")
    (tmp_path / "link.zip").symlink_to("gone")
    for name, message in (("pipe", "is a pipe, not a file"), ("link", "is a broken link")):
        with pytest.raises(ValueError, match=message):
            download(server.url, tmp_path / f"{name}.zip", md5=MD5)
    assert server.asked == []
