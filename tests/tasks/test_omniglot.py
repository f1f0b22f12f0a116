"""Omniglot: its splits, rotations and archives, on pictures made here; and on the real small sets where they are."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from pictures import png, write, zipped

from metarl.tasks.datasets import omniglot as module
from metarl.tasks.datasets.folder import Split
from metarl.tasks.datasets.omniglot import Archive, Protocol, omniglot
from metarl.tasks.images import ImageClasses, Images

SMALL_ALPHABETS = {
    "images_background_small1": {"Balinese": 24, "Early_Aramaic": 22, "Greek": 24, "Korean": 40, "Latin": 26},
    "images_background_small2": {"Greek": 24, "Japanese_(katakana)": 47, "Latin": 26, "Sanskrit": 42, "Tagalog": 17},
}
FULL_ALPHABETS = {"images_background": {"First": 900, "Second": 64}, "images_evaluation": {"Third": 659}}
COUNTS = {"maml": (1100, 100, 423), "reptile": (1200, None, 423), "vinyals": (1028, 172, 423), "small": (179, 22, 41)}
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


def build(folder: Path, archives: dict[str, dict[str, int]], monkeypatch: pytest.MonkeyPatch, *, drawings: int) -> None:
    """Zips laid out like the authors', with their checksums taken for right."""
    known = {}
    for name, alphabets in archives.items():
        path = folder / f"{name}.zip"
        characters = [f"{name}/{a}/character{c:03d}" for a, n in alphabets.items() for c in range(1, n + 1)]
        zipped(path, [f"{character}/{d:02d}.png" for character in characters for d in range(drawings)])
        known[name] = Archive(hashlib.md5(path.read_bytes()).hexdigest(), len(characters))
    monkeypatch.setattr(module, "SMALL" if "images_background_small1" in archives else "FULL", known)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One drawing a character is enough to see which characters are where."""
    return tmp_path_factory.mktemp("omniglot")


@pytest.fixture
def data(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "DRAWINGS", 1)
    for archives in (FULL_ALPHABETS, SMALL_ALPHABETS):
        build(folder, archives, monkeypatch, drawings=1)
    return folder


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The small sets, with little in them."""
    tiny = {name: {a: 1 + (a == "Greek") for a in alphabets} for name, alphabets in SMALL_ALPHABETS.items()}
    build(tmp_path, tiny, monkeypatch, drawings=20)
    return tmp_path


def load(data: Path, split: Split, protocol: Protocol, *, seed: int = 0, rotations: bool = False) -> ImageClasses:
    return omniglot(data, split, protocol=protocol, seed=seed, rotations=rotations, size=2, download=False)


@pytest.mark.parametrize("protocol", ["maml", "reptile", "vinyals", "small"])
def test_splits_have_their_counts_and_no_character_in_common(data: Path, protocol: Protocol) -> None:
    there = [(split, n) for split, n in zip(SPLITS, COUNTS[protocol], strict=True) if n]
    names = [load(data, split, protocol).names for split, _ in there]
    assert [len(split) for split in names] == [n for _, n in there]
    assert len(set().union(*names)) == sum(n for _, n in there) == (242 if protocol == "small" else 1623)


def test_splits_follow_the_seed(data: Path) -> None:
    first, again, other = (set(load(data, "test", "maml", seed=seed).names) for seed in (0, 0, 1))
    assert first == again != other
    assert 60 < len(first & other) < 160  # 110 expected of unrelated draws
    assert first == set(load(data, "test", "vinyals").names) == set(load(data, "test", "reptile").names)


def test_the_small_sets_hold_out_whole_alphabets(data: Path) -> None:
    alphabets = {split: {name.split("/")[0] for name in load(data, split, "small").names} for split in SPLITS}
    assert alphabets == {
        "train": {"Greek", "Japanese_(katakana)", "Korean", "Latin", "Sanskrit"},
        "validation": {"Early_Aramaic"},
        "test": {"Balinese", "Tagalog"},
    }


@pytest.mark.parametrize(
    ("protocol", "turned"),
    [("maml", SPLITS), ("vinyals", SPLITS), ("reptile", ("train",)), ("small", ("train",))],
)
def test_rotations_are_those_of_the_protocol(data: Path, protocol: Protocol, turned: tuple[str, ...]) -> None:
    for split, n in zip(SPLITS, COUNTS[protocol], strict=True):
        if n:
            classes = load(data, split, protocol, rotations=True)
            assert len(classes) == n * (4 if split in turned else 1)
            assert {name.split(" turned")[0] for name in classes.names} == set(load(data, split, protocol).names)


def test_characters_keep_their_drawings_with_ink_bright(small: Path) -> None:
    classes = load(small, "train", "small")
    assert classes.names[:2] == ("Greek/character001", "Greek/character002")
    assert list(classes.names) == sorted(classes.names)
    assert classes.counts.tolist() == [20] * 6
    # in small1 Balinese and Early Aramaic come before Greek: 40 pictures, then those of grey 40, 41, …
    assert classes.images[:40, 0, 1, 1].tolist() == [255 - 40 - i for i in range(40)]
    assert classes.images.shape == (120, 1, 2, 2)


@pytest.mark.parametrize("where", [".", "omniglot", "omniglot/python"])
def test_unpacked_folders_do_as_well(small: Path, tmp_path_factory: pytest.TempPathFactory, where: str) -> None:
    other = tmp_path_factory.mktemp("unpacked")
    for name in SMALL_ALPHABETS:
        with ZipFile(small / f"{name}.zip") as archive:
            archive.extractall(other / where)
    for split in SPLITS:
        zips, folders = load(small, split, "small"), load(other, split, "small")
        assert zips.names == folders.names
        assert torch.equal(zips.images, folders.images)
    (other / where / "images_background_small2" / "Tagalog" / "character001" / "07.png").unlink()
    with pytest.raises(ValueError, match=r"small2 has 19 drawings of Tagalog/character001, not 20: delete"):
        load(other, "train", "small")
    write(other / where / "images_background_small2" / "Tagalog" / "character002" / "07.png", png(0))
    with pytest.raises(ValueError, match=r"small2 has 7 characters, not 6: delete"):
        load(other, "train", "small")


def test_a_damaged_archive_is_refused_until_it_is_replaced(small: Path) -> None:
    path = small / "images_background_small2.zip"
    whole = path.read_bytes()
    for content in (whole[:-100], whole.replace(b"Tagalog", b"Tagalox"), b""):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"small2.zip is damaged or another file \(md5 .*, not .*\): replace"):
            load(small, "train", "small")
        assert not (small / ".metarl-cache").exists()
    path.write_bytes(whole)
    assert len(load(small, "train", "small")) == 6
    path.write_bytes(whole[:-100])  # damaged after it was decoded
    with pytest.raises(ValueError, match="is damaged"):
        load(small, "train", "small")


def test_missing_data_are_downloaded_into_the_folder(
    small: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path_factory.mktemp("target")
    asked = []

    def download(url: str, path: Path, *, md5: str) -> None:
        asked.append((url, md5))
        write(path, (small / path.name).read_bytes())

    monkeypatch.setattr(module, "fetch", download)
    with pytest.raises(ValueError, match=r"no Omniglot .* there is neither images_background_small1.zip nor") as error:
        load(target, "train", "small")
    assert "\n" not in str(error.value)
    assert asked == []
    for _ in range(2):
        classes = omniglot(target, "test", protocol="small", size=2)
    assert torch.equal(classes.images, load(small, "test", "small").images)
    base = "https://github.com/brendenlake/omniglot/raw/master/python/"
    assert asked == [(f"{base}{name}.zip", archive.md5) for name, archive in module.SMALL.items()]
    assert {path.name for path in (target / "omniglot").iterdir()} == {f"{name}.zip" for name in SMALL_ALPHABETS}


def test_a_split_or_protocol_that_is_not_there_is_refused(data: Path) -> None:
    with pytest.raises(ValueError, match="no split 'validation' in Omniglot's protocol reptile: choose from train"):
        load(data, "validation", "reptile")
    with pytest.raises(ValueError, match="split is 'val': give one of 'train', 'validation', 'test'"):
        load(data, "val", "maml")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="protocol is 'lake': give one of 'maml', 'reptile', 'vinyals', 'small'"):
        load(data, "train", "lake")  # type: ignore[arg-type]


@pytest.mark.skipif("METARL_DATA" not in os.environ, reason="METARL_DATA does not name a folder with Omniglot")
def test_the_real_small_sets() -> None:
    splits = [omniglot(None, split, protocol="small", download=False) for split in SPLITS]
    assert [len(classes) for classes in splits] == [716, 22, 41]
    assert [tuple(classes.images.shape) for classes in splits] == [(20 * n, 1, 28, 28) for n in (716, 22, 41)]
    for classes in splits:
        assert classes.counts.tolist() == [20] * len(classes)
        ink = classes.images.float().mean((1, 2, 3)) / 255
        assert 0.05 < ink.mean() < 0.12  # strokes on paper, not the other way round
        assert ink.min() > 0.01  # none is empty
        assert len({image.numpy().tobytes() for image in classes.images}) > 0.99 * len(classes.images)
    tasks = Images(splits[0], ways=20, shots=5, queries=15).sample(4, np.random.default_rng(0))
    drawings = tasks.support(None, 0).x[0], tasks.query(None).x[0]  # type: ignore[arg-type]
    assert not {x.numpy().tobytes() for x in drawings[0]} & {x.numpy().tobytes() for x in drawings[1]}
