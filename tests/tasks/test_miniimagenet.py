"""miniImageNet in its three forms, on pictures made here."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import class_folders, png, write

from metarl.tasks.datasets.folder import Split
from metarl.tasks.datasets.miniimagenet import miniimagenet

COUNTS: dict[Split, int] = {"train": 64, "validation": 16, "test": 20}
FIRST: dict[Split, int] = {"train": 0, "validation": 64, "test": 80}
SHORT: dict[Split, str] = {"train": "train", "validation": "val", "test": "test"}


def label(split: Split, c: int) -> str:
    return f"n{FIRST[split] + c:08d}"


def write_csvs(folder: Path, where: str) -> None:
    """Two images a class, of grey 2·class and 2·class + 1, and a CSV a split whose rows are not in order."""
    for split, n in COUNTS.items():
        rows = []
        for c in range(n):
            for i in range(2):
                name = f"{label(split, c)}{i:04d}.png"
                write(folder / where.format(label=label(split, c)) / name, png(2 * c + i))
                rows.append(f"{name},{label(split, c)}")
        (folder / f"{SHORT[split]}.csv").write_text("\n".join(["filename,label", *reversed(rows)]) + "\n")


def cache(split: Split, *, images: int = 2) -> dict[str, Any]:
    """A cache whose images of grey 2·class + i are not in the order of classes."""
    n = COUNTS[split]
    greys = np.arange(n * images, dtype=np.uint8)[::-1]
    data = np.broadcast_to(greys[:, None, None, None], (n * images, 84, 84, 3)).copy()
    data[:, 0, 1, 2] = 7  # tells rows, columns and channels apart
    classes = {label(split, c): [n * images - 1 - (images * c + i) for i in range(images)] for c in range(n)}
    return {"image_data": data, "class_dict": classes}


def write_caches(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for split in COUNTS:
        (folder / f"mini-imagenet-cache-{SHORT[split]}.pkl").write_bytes(pickle.dumps(cache(split)))


def check(data: Path) -> None:
    seen: list[str] = []
    for split, n in COUNTS.items():
        classes = miniimagenet(data, split)
        assert classes.names == tuple(label(split, c) for c in range(n))
        assert classes.counts.tolist() == [2] * n
        assert classes.images.shape == (2 * n, 3, 84, 84)
        assert classes.images[:, 2, 40, 40].tolist() == [*range(2 * n)]
        seen += classes.names
    assert len(set(seen)) == 100


@pytest.mark.parametrize("where", ["images", "images/{label}", "{label}"])
def test_split_files_and_images(tmp_path: Path, where: str) -> None:
    write_csvs(tmp_path / "miniimagenet", where)
    check(tmp_path)


def test_split_files_with_a_byte_order_mark_quotes_and_windows_ends(tmp_path: Path) -> None:
    write_csvs(tmp_path, "images")
    for short in SHORT.values():
        file = tmp_path / f"{short}.csv"
        rows = [",".join(f'"{part}"' for part in line.split(",")) for line in file.read_text().splitlines()]
        file.write_bytes("\r\n".join(["\ufefffilename,label", *rows[1:]]).encode())
    check(tmp_path)


def test_class_folders(tmp_path: Path) -> None:
    for split, n in COUNTS.items():
        for c in range(n):
            for i in range(2):
                write(tmp_path / "mini-imagenet" / SHORT[split] / label(split, c) / f"{i}.png", png(2 * c + i))
    check(tmp_path)
    check(tmp_path / "mini-imagenet")


def test_pickled_caches(tmp_path: Path) -> None:
    write_caches(tmp_path / "mini-imagenet")
    check(tmp_path)
    images = miniimagenet(tmp_path, "test").images
    assert images[5, :, 0, 1].tolist() == [5, 5, 7]
    assert images[5, 2, 1, 0] == 5
    assert images.is_contiguous()


def test_a_missing_split_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no miniImageNet in .*: save the pickles .* by --data or METARL_DATA"):
        miniimagenet(tmp_path, "train")
    write_csvs(tmp_path / "csv", "images")
    (tmp_path / "csv" / "val.csv").unlink()
    for split in COUNTS:  # without it, nothing tells that the others hold none of its classes
        with pytest.raises(ValueError, match=r"val.csv is missing: save it beside the other splits"):
            miniimagenet(tmp_path / "csv", split)
    write_caches(tmp_path)
    (tmp_path / "mini-imagenet-cache-val.pkl").unlink()
    with pytest.raises(ValueError, match=r"mini-imagenet-cache-val.pkl is missing"):
        miniimagenet(tmp_path, "validation")
    with pytest.raises(ValueError, match="split is 'val': give one of 'train', 'validation', 'test'"):
        miniimagenet(tmp_path, "val")  # type: ignore[arg-type]


def test_damaged_split_files_are_refused(tmp_path: Path) -> None:
    write_csvs(tmp_path, "images")
    val = tmp_path / "val.csv"
    whole = val.read_text()
    val.write_text(whole + f"{label('train', 3)}0000.png,{label('train', 3)}\n")
    with pytest.raises(ValueError, match=r"class n00000003 is in train.csv and in val.csv|in val.csv and in train.csv"):
        miniimagenet(tmp_path, "train")
    val.write_text(whole.replace("filename", "file"))
    with pytest.raises(ValueError, match=r"val.csv has no columns filename and label"):
        miniimagenet(tmp_path, "validation")
    rows = whole.splitlines()
    val.write_text("\n".join(rows[:-2]) + "\n")
    with pytest.raises(ValueError, match=r"the validation split in .* has 15 classes and miniImageNet's has 16"):
        miniimagenet(tmp_path, "validation")
    val.write_text(whole)
    image = tmp_path / "images" / f"{label('validation', 2)}0001.png"
    content = image.read_bytes()
    image.write_bytes(content[:-30])
    with pytest.raises(ValueError, match=r"cannot read the image .*n000000660001.png"):
        miniimagenet(tmp_path, "validation")
    image.unlink()
    with pytest.raises(ValueError, match=r"val.csv lists n000000660001.png, which is not at"):
        miniimagenet(tmp_path, "validation")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_data": None}, "image_data is not uint8"),
        ({"image_data": np.zeros((32, 84, 84, 3), np.float32)}, "image_data is not uint8"),
        ({"image_data": np.zeros((32, 3, 84, 84), np.uint8)}, "image_data is not uint8"),
        ({"class_dict": [1, 2]}, "class_dict does not map names to indices"),
        ({"class_dict": {"a": ["x"]}}, "class_dict does not map names to indices"),
        ({"class_dict": {}}, "class_dict does not map names to indices"),
        ({"class_dict": {"a": [0, 1], "b": [1, 2]}}, "an image twice, or one that does not exist"),
        ({"class_dict": {"a": [32]}}, "an image twice, or one that does not exist"),
        ({"class_dict": {"a": [-1]}}, "an image twice, or one that does not exist"),
        ({"class_dict": {"a": [1, 2]}}, "has 1 classes and miniImageNet's has 16"),
    ],
)
def test_caches_of_another_form_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = tmp_path / "mini-imagenet-cache-val.pkl"
    path.write_bytes(pickle.dumps({**cache("validation"), **change}))
    with pytest.raises(ValueError, match=message):
        miniimagenet(tmp_path, "validation")


def test_other_pickles_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mini-imagenet-cache-val.pkl"
    for content in ({"image_data": np.zeros(3)}, [1, 2]):
        path.write_bytes(pickle.dumps(content))
        with pytest.raises(ValueError, match="it lacks image_data or class_dict"):
            miniimagenet(tmp_path, "validation")


def test_somebody_elses_train_folder_is_not_taken_for_miniimagenet(tmp_path: Path) -> None:
    class_folders(tmp_path / "train", 64, 1)
    with pytest.raises(ValueError, match="no miniImageNet in"):
        miniimagenet(tmp_path, "train")
