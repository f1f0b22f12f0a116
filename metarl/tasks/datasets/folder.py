"""Data folders, their splits, and your own images in class folders."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pooch

from metarl.ranges import Whole, checked
from metarl.tasks.datasets.cache import cached, fingerprint
from metarl.tasks.datasets.decoding import Files, Side, decode, files_in_folders, folders_in, is_folder, listed
from metarl.tasks.datasets.image_classes import ImageClasses

Split = Literal["train", "validation", "test"]
FOLDERS: dict[Split, tuple[str, ...]] = {
    "train": ("train",),
    "validation": ("val", "validation", "valid"),
    "test": ("test",),
}


@checked
def data_folder(data: str | Path | None = None) -> Path:
    """The folder of data: `data`, otherwise that in the variable METARL_DATA, otherwise the user's cache folder.

    The cache folder need not exist. Raises ValueError if one of the others is given and does not exist.
    """
    named = data or os.environ.get("METARL_DATA")
    if not named:
        return Path(pooch.os_cache("metarl"))
    return _existing(Path(named), f"create it, or correct {'--data' if data else 'METARL_DATA'}")


def _existing(folder: Path, remedy: str) -> Path:
    """The resolved path of `folder`. Raises ValueError, with `remedy`, unless it is a folder that can be read."""
    try:
        folder = folder.expanduser()
    except RuntimeError:  # no such user
        raise ValueError(f"there is no folder {folder}: {remedy}") from None
    if not is_folder(folder):
        raise ValueError(f"there is no folder {folder}: {remedy}")
    listed(folder)  # raises ValueError if it cannot be read
    return folder.resolve()


def check_split(split: Split, among: Sequence[str], where: str) -> None:
    """Raise ValueError for a split that is not `among` the existing ones."""
    if split not in among:
        raise ValueError(f"there is no split {split!r} in {where}: choose from {', '.join(among)}")


def split_classes(classes: int, counts: dict[Split, int], split: Split, *, seed: int) -> list[int]:
    """The sorted indices of the classes of `split`: consecutive `counts` of a random permutation of all `classes`.

    `counts` sum to `classes`. With equal seeds, equal counts of the last split give the same last split.
    """
    order = np.random.default_rng(seed).permutation(classes)
    starts = dict(zip(counts, np.cumsum([0, *counts.values()]), strict=False))
    return sorted(order[starts[split] : starts[split] + counts[split]].tolist())


def split_folders(folder: Path) -> dict[Split, Path]:
    """The folders of the splits in `folder` that exist: train, val (or validation, valid) and test."""
    found: dict[Split, Path] = {}
    for split, names in FOLDERS.items():
        there = [folder / name for name in names if is_folder(folder / name)]
        if len(there) > 1:
            raise ValueError(f"both {there[0]} and {there[1]} exist: keep one folder for the {split} split")
        if there:
            found[split] = there[0]
    return found


def files_of_split(folders: dict[Split, Path], split: Split) -> Files:
    """The files of one split by class. Raises ValueError if the split is missing or shares a class with another."""
    check_split(split, tuple(folders), str(next(iter(folders.values())).parent))
    seen: dict[str, str] = {}
    for of, folder in folders.items():
        for name in folders_in(folder):
            if name in seen:
                raise ValueError(f"class {name} is in the {seen[name]} and in the {of} split: keep it in one")
            seen[name] = of
    files = files_in_folders(folders[split])
    if not files:
        raise ValueError(f"{folders[split]} has no class folders: make a folder of images for each class there")
    return files


@checked
def image_folder(
    path: str | Path, split: Split, *, size: Side = 84, grey: bool = False, seed: Whole = 0
) -> ImageClasses:
    """The classes of one split of a folder of images.

    The folder holds either the three splits, PATH/train/CLASS/IMAGE, PATH/val/… and PATH/test/…, or only classes,
    PATH/CLASS/IMAGE, which are then split at random, by `seed`, into 64 %, 16 % and 20 %. Images are stretched to
    size × size pixels, RGB unless `grey`. Raises ValueError for a missing folder or split, a class in two splits, a
    class folder without images, and an image that cannot be read.
    """
    path = _existing(Path(path), "give a folder that has a folder of images for each class")
    folders = split_folders(path)
    if folders:
        files, name = files_of_split(folders, split), f"{split}-"
    else:
        files, name = files_in_folders(path), ""
        if len(files) < 5:  # with five or more, no split is empty
            raise ValueError(f"{path} has {len(files)} class folders: at least 5 are needed for three splits")
    mode: Literal["L", "RGB"] = "L" if grey else "RGB"
    source = fingerprint(Path(file.path) for of_class in files.values() for file in of_class)
    build_name = f"{name}{mode}-{size}"
    classes = cached(path, build_name, source, lambda: decode(files, size=size, mode=mode))
    if folders:
        return classes
    test, validation = round(0.2 * len(files)), round(0.16 * len(files))
    counts: dict[Split, int] = {"train": len(files) - test - validation, "validation": validation, "test": test}
    return classes.select(split_classes(len(files), counts, split, seed=seed))
