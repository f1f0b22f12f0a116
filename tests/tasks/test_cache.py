"""Decoded images on disk: read instead of decoded, never when changed or damaged."""

from __future__ import annotations

import os
import resource
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import numbered, png, write

from metarl.tasks.datasets import cache
from metarl.tasks.datasets.cache import cached, fingerprint
from metarl.tasks.images import ImageClasses


class Builder:
    """Counts how often it is asked."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> ImageClasses:
        self.calls += 1
        return numbered([3, 2])


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands in for the user's cache folder."""
    place = tmp_path / "user"
    monkeypatch.setattr(cache.pooch, "os_cache", lambda name: place / name)
    return place


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def file_in(folder: Path) -> Path:
    (found,) = folder.rglob("*.safetensors")
    return found


def assert_same(found: ImageClasses) -> None:
    expected = numbered([3, 2])
    assert torch.equal(found.images, expected.images)
    assert (found.names, found.counts.tolist()) == (expected.names, [3, 2])


def test_built_once_and_again_when_the_source_changes(data: Path) -> None:
    build = Builder()
    with warnings.catch_warnings(action="error"):
        for source, calls in (("a", 1), ("a", 1), ("b", 2), ("b", 2), ("a", 3)):
            assert_same(cached(data, "x", source, build))
            assert build.calls == calls
        cached(data, "y", "a", build)
    assert build.calls == 4
    assert {p.name for p in (data / ".metarl-cache").iterdir()} == {"x.safetensors", "y.safetensors"}


@pytest.mark.parametrize("damage", ["half", "empty", "pixel", "noise"])
def test_a_damaged_file_is_made_again(data: Path, damage: str) -> None:
    build = Builder()
    cached(data, "x", "a", build)
    path = file_in(data)
    whole = path.read_bytes()
    flipped = bytes([whole[-1] ^ 1])
    path.write_bytes({"half": whole[:-9], "empty": b"", "pixel": whole[:-1] + flipped, "noise": b"\1" * 99}[damage])
    with pytest.warns(UserWarning, match="x.safetensors is damaged and will be rebuilt"):
        assert_same(cached(data, "x", "a", build))
    assert build.calls == 2
    with warnings.catch_warnings(action="error"):
        assert_same(cached(data, "x", "a", build))
    assert build.calls == 2


def test_a_failed_write_leaves_nothing(data: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(tensors: object, path: Path, metadata: object) -> None:
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(cache, "save_file", broken)
    build = Builder()
    with pytest.warns(UserWarning, match=r"cannot be cached and will be decoded again .*: cannot write .*disk full"):
        assert_same(cached(data, "x", "a", build))
    assert [p for p in (*data.rglob("*"), *own_cache.rglob("*")) if p.is_file()] == []


def test_a_read_only_folder_is_left_alone(data: Path, own_cache: Path) -> None:
    build = Builder()
    data.chmod(0o555)
    try:
        for _ in range(2):
            assert_same(cached(data, "x", "a", build))
        assert [*data.iterdir()] == []
    finally:
        data.chmod(0o755)
    assert build.calls == 1
    assert file_in(own_cache).is_file()
    (data / "other").mkdir()
    (data / "other").chmod(0o555)
    cached(data / "other", "x", "a", build)  # another folder's data of the same name and fingerprint
    assert build.calls == 2
    (data / "other").chmod(0o755)


def test_others_may_read_it(data: Path) -> None:
    cached(data, "x", "a", Builder())
    write(data / "plain", b"")
    assert file_in(data).stat().st_mode == (data / "plain").stat().st_mode


def test_fingerprint_sees_names_sizes_and_times(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    write(a, png(1))
    write(b, png(1))
    os.utime(b, ns=(a.stat().st_mtime_ns,) * 2)
    first = fingerprint([a])
    assert first == fingerprint([a])
    assert len({first, fingerprint([b]), fingerprint([a, b])}) == 3
    os.utime(a, ns=(1, 1))
    older = fingerprint([a])
    a.write_bytes(png(1) + b"more")
    os.utime(a, ns=(1, 1))
    assert len({first, older, fingerprint([a])}) == 3


@pytest.mark.parametrize("kind", ["pipe", "link", "dangling", "names", "floats", "counts"])
def test_what_is_no_cache_is_made_again(data: Path, kind: str) -> None:
    build = Builder()
    cached(data, "x", "a", build)
    path, mine = file_in(data), data / "mine"
    mine.write_bytes(b"precious")
    path.unlink()
    metadata = {"format": cache.FORMAT, "source": "a", "names": '["c0", "c1"]', "checksum": "1"}
    tensors = {"images": numbered([3, 2]).images, "counts": torch.tensor([3, 2])}
    if kind == "pipe":
        os.mkfifo(path)
    elif kind in ("link", "dangling"):
        path.symlink_to(mine if kind == "link" else "gone")
    else:
        changes = {"floats": {"images": tensors["images"].float()}, "counts": {"counts": torch.tensor([3, 3])}}
        names = {"names": "[" * 100_000} if kind == "names" else {}
        cache.save_file(tensors | changes.get(kind, {}), path, metadata | names)
    with warnings.catch_warnings(action="ignore"):
        assert_same(cached(data, "x", "a", build))
    assert_same(cached(data, "x", "a", build))
    assert build.calls == 2
    assert path.is_file()
    assert not path.is_symlink()
    assert mine.read_bytes() == b"precious"


def test_a_folder_in_its_place_or_a_linked_cache_folder_is_left(data: Path, own_cache: Path, tmp_path: Path) -> None:
    (data / ".metarl-cache" / "x.safetensors").mkdir(parents=True)
    with pytest.warns(UserWarning, match="x.safetensors is damaged"):
        assert_same(cached(data, "x", "a", Builder()))
    other, elsewhere = tmp_path / "other", tmp_path / "elsewhere"
    other.mkdir()
    elsewhere.mkdir()
    (other / ".metarl-cache").symlink_to(elsewhere)
    cached(other, "x", "a", Builder())
    assert [*elsewhere.iterdir()] == []
    assert len([path for path in own_cache.rglob("*") if path.is_file()]) == 2


def test_a_file_size_limit_is_a_warning_and_leaves_no_draft(data: Path, own_cache: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    images = ImageClasses(torch.zeros(200, 1, 28, 28, dtype=torch.uint8), ("a",), np.array([200]))
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        with pytest.warns(UserWarning, match="cannot be cached and will be .*: cannot write") as warned:
            assert cached(data, "x", "a", lambda: images) is images
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "\n" not in str(warned[0].message)
    assert [path for path in (*data.rglob("*"), *own_cache.rglob("*")) if path.is_file()] == []
