"""miniImageNet: 100 classes of 600 photographs of 84 × 84 pixels, with the split of Ravi and Larochelle (2017)."""

from __future__ import annotations

import csv
import os
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import torch

from metarl.files import read_text, regular_file
from metarl.ranges import checked
from metarl.tasks.datasets.cache import cached, fingerprint
from metarl.tasks.datasets.decoding import Files, decode, image_file, is_folder
from metarl.tasks.datasets.folder import FOLDERS, Split, data_folder, files_of_split, split_folders
from metarl.tasks.datasets.image_classes import ImageClasses
from metarl.tasks.datasets.pickles import read_arrays

SIZE = 84
COUNTS: dict[Split, int] = {"train": 64, "validation": 16, "test": 20}
SHORT: dict[Split, str] = {"train": "train", "validation": "val", "test": "test"}
NAMES = ("mini-imagenet", "miniimagenet", "mini_imagenet", "miniImagenet", "miniImageNet")


@checked
def miniimagenet(data: str | Path | None, split: Split) -> ImageClasses:
    """The classes of one split of miniImageNet, images [M, 3, 84, 84]: 64 to train, 16 to validate, 20 to test.

    ImageNet's licence forbids redistributing its images, so they are not downloaded. They are searched in `data` (see
    `data_folder`) and in a folder mini-imagenet (or miniimagenet, …) there, in one of three forms, in this order:

    - pickled caches mini-imagenet-cache-train.pkl, -val.pkl and -test.pkl, which are read without executing their code;
    - Ravi's train.csv, val.csv and test.csv, with columns filename and label, beside the images: images/FILE,
      images/LABEL/FILE or LABEL/FILE;
    - class folders train/LABEL/FILE, val/LABEL/FILE and test/LABEL/FILE.

    Raises ValueError for missing or damaged data, a class in two splits, and a split with a wrong number of classes.
    """
    root = data_folder(data)
    for folder in (root, *(root / name for name in NAMES)):
        if any(os.path.lexists(folder / f"mini-imagenet-cache-{short}.pkl") for short in SHORT.values()):
            classes = from_pickle(_existing(folder / f"mini-imagenet-cache-{SHORT[split]}.pkl"))
        elif any(os.path.lexists(folder / f"{short}.csv") for short in SHORT.values()):
            classes = _from_files(folder, split, _files_of_csv(folder, split))
        elif is_folder(folder) and (folder != root or _holds_labels(folder)) and (folders := split_folders(folder)):
            classes = _from_files(folder, split, files_of_split(folders, split))
        else:
            continue
        if len(classes) != COUNTS[split]:
            raise ValueError(
                f"the {split} split in {folder} has {len(classes)} classes and miniImageNet's has {COUNTS[split]}: "
                f"get the data again, or use them as an image folder of your own"
            )
        return classes
    raise ValueError(
        f"no miniImageNet in {root} or its folder mini-imagenet: save the pickles mini-imagenet-cache-train.pkl, "
        f"-val.pkl and -test.pkl, or train.csv, val.csv, test.csv and images/, there, or give the folder that has them "
        f"by --data or METARL_DATA"
    )


def _holds_labels(folder: Path) -> bool:
    """Whether a folder has training classes with names as ImageNet's, n and 8 digits."""
    return any(folder.glob("train/n" + "[0-9]" * 8))


def _existing(path: Path) -> Path:
    if not os.path.lexists(path):
        raise ValueError(f"{path} is missing: save it beside the other splits")
    return regular_file(path)


def _from_files(folder: Path, split: Split, files: Files) -> ImageClasses:
    source = fingerprint(Path(file.path) for of_class in files.values() for file in of_class)
    return cached(folder, f"miniimagenet-{split}", source, lambda: decode(files, size=SIZE, mode="RGB"))


def _files_of_csv(folder: Path, split: Split) -> Files:
    """The files that a split's CSV lists. Raises ValueError for a missing file or column, and a class in two."""
    labels = {of: _rows(_existing(folder / f"{SHORT[of]}.csv")) for of in FOLDERS}
    for of, rows in labels.items():
        shared = {label for _, label in rows} & {label for _, label in labels[split]}
        if of != split and shared:
            raise ValueError(f"class {min(shared)} is in {SHORT[of]}.csv and in {SHORT[split]}.csv in {folder}")
    found: Files = {}
    seen: set[Path] = set()
    for name, label in sorted(labels[split], key=lambda row: row[::-1]):
        places = [folder / "images" / name, folder / "images" / label / name, folder / label / name]
        path = next((place for place in places if os.path.lexists(place)), None)
        if path is None:
            raise ValueError(f"{SHORT[split]}.csv lists {name}, which is not at {places[0]} or in a folder {label}")
        if path in seen:
            raise ValueError(f"{folder / SHORT[split]}.csv lists {name} twice: keep one of the rows")
        seen.add(path)
        found.setdefault(label, []).append(image_file(path))
    return found


def _rows(path: Path) -> list[tuple[str, str]]:
    """The rows of a CSV file, as pairs of a file name and a label."""
    lines = read_text(path).removeprefix("\ufeff").splitlines()
    try:
        reader = csv.DictReader(lines, strict=True)
        rows, columns = list(reader), reader.fieldnames or ()
    except csv.Error as error:
        raise ValueError(f"cannot read {path} ({error}): get Ravi and Larochelle's split files") from None
    if not {"filename", "label"} <= set(columns):
        raise ValueError(f"{path} has no columns filename and label: get Ravi and Larochelle's split files")
    if not rows:
        raise ValueError(f"{path} lists no images: get Ravi and Larochelle's split files")
    found = [(row["filename"], row["label"]) for row in rows]
    for number, row in enumerate(found, 2):
        if not all(_stays_inside(part) for part in row):
            raise ValueError(f"row {number} of {path} has no file and label: get Ravi and Larochelle's split files")
    return found


def _stays_inside(name: str | None) -> bool:
    """Whether `name` is a relative path that does not lead out of the folder in which it is searched."""
    if not name or "\0" in name:
        return False
    return not PurePath(name).is_absolute() and ".." not in PurePath(name).parts


def from_pickle(path: Path) -> ImageClasses:
    """The classes of a pickled {"image_data": uint8 [M, 84, 84, 3], "class_dict": {label: indices}}.

    Raises ValueError, which names the file, for anything else.
    """
    found = read_arrays(path)
    wrong = f"{path} is not a miniImageNet cache"
    if not isinstance(found, dict) or not {"image_data", "class_dict"} <= set(found):
        raise ValueError(f"{wrong}: it lacks image_data or class_dict")
    images, classes = found["image_data"], found["class_dict"]
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.shape[1:] != (SIZE, SIZE, 3):
        raise ValueError(f"{wrong}: image_data is not uint8 [M, {SIZE}, {SIZE}, 3]")
    rows = [classes[name] for name in sorted(classes)] if isinstance(classes, dict) else []
    counts = np.array(list(map(_length, rows)), np.int64)
    invalid = f"{wrong}: class_dict lists an image twice, or one that does not exist"
    if counts.sum() > len(images):
        raise ValueError(invalid)
    if not rows or not counts.all() or not all(map(_are_indices, rows)):
        raise ValueError(f"{wrong}: class_dict does not map names to indices")
    order = np.concatenate(rows)
    if len(np.unique(order)) < len(order) or order.min() < 0 or order.max() >= len(images):
        raise ValueError(invalid)
    by_class = torch.from_numpy(np.ascontiguousarray(images[order].transpose(0, 3, 1, 2)))
    return ImageClasses(by_class, tuple(sorted(classes)), counts)


def _length(row: Any) -> int:
    """The length of a list or one-dimensional array; 0 for anything else."""
    return len(row) if isinstance(row, list) or (isinstance(row, np.ndarray) and row.ndim == 1) else 0


def _are_indices(row: list[Any] | np.ndarray) -> bool:
    """Whether all elements are integers that can be indices of images."""
    if isinstance(row, np.ndarray):
        return row.dtype.kind in "iu"
    return all(isinstance(i, int | np.integer) and not isinstance(i, bool) and abs(int(i)) < 1 << 62 for i in row)
