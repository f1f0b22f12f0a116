"""Downloads that are verified by md5 and resumed after a broken connection, with a progress bar."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pooch
import requests
from filelock import FileLock
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from metarl.files import NOFOLLOW, regular_file
from metarl.ranges import checked

CHUNK = 1 << 16  # bytes that are read at a time
TIMEOUT = 30  # seconds to wait for an answer


@checked
def download(url: str, path: Path, *, md5: str) -> None:
    """Download `url` to `path`, which is made only when the file is complete and its checksum is `md5`.

    Does nothing if `path` exists. After a broken connection `path`.part remains, and the next call continues it. Raises
    OSError for an error of the network or the folder and for a wrong checksum, and ValueError if `path` exists and is
    not a file.
    """
    if os.path.lexists(path):
        regular_file(path)
    part = path.with_name(f"{path.name}.part")

    def fetch(url: str, draft: str, _: object) -> None:
        _fetch(url, part)
        os.replace(part, draft)

    remedy = f"try again, or download it in another way and save it as {path}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{path.name}.lock")):
            pooch.retrieve(url, known_hash=f"md5:{md5}", fname=path.name, path=path.parent, downloader=fetch)
    except requests.RequestException as error:
        raise OSError(f"cannot download {url} ({_reason(error)}): {remedy}") from None
    except ValueError:  # pooch raises it for a wrong checksum, and removes the file
        raise OSError(f"the file from {url} is not the expected one (its md5 is not {md5}): {remedy}") from None
    except OSError as error:
        raise OSError(f"cannot write {path} ({error.strerror or error}): give another folder by --data") from None


def _fetch(url: str, part: Path) -> None:
    """Complete the file `part`, from its end on if the server supports it."""
    have = part.lstat().st_size if os.path.lexists(part) else 0
    headers = {"Range": f"bytes={have}-", "Accept-Encoding": "identity"} if have else {"Accept-Encoding": "identity"}
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
        if answer.status_code == requests.codes.requested_range_not_satisfiable:
            return  # the file is complete; its checksum is verified later
        answer.raise_for_status()
        resumed = answer.status_code == requests.codes.partial_content
        have = have if resumed else 0
        length = answer.headers.get("Content-Length")
        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        with (
            Progress(*columns, console=console, disable=not console.is_terminal) as bar,
            open(part, "ab" if resumed else "wb", opener=_plain) as file,
        ):
            task = bar.add_task(f"downloading {url.rsplit('/', 1)[-1]}", total=have + int(length) if length else None)
            bar.update(task, completed=have)
            for chunk in answer.iter_content(CHUNK):
                file.write(chunk)
                bar.advance(task, len(chunk))


def _plain(path: str, flags: int) -> int:
    """Open a regular file that has only this name. Raises OSError for links, pipes and so on."""
    handle = os.open(path, (flags & ~os.O_TRUNC) | NOFOLLOW | getattr(os, "O_NONBLOCK", 0), 0o666)
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        os.close(handle)
        raise OSError(errno.EINVAL, f"{path} is not a regular file with one name: remove it")
    if flags & os.O_TRUNC:
        os.ftruncate(handle, 0)
    return handle


def _reason(error: requests.RequestException) -> str:
    """The reason why a request failed, in a few words."""
    if error.response is not None:
        return f"the server answered {error.response.status_code}"
    return "no answer in time" if isinstance(error, requests.Timeout) else "no connection, or it was lost"
