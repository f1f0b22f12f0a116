"""Where data lie, their splits, and one's own images in class folders."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pooch

from metarl.ranges import Whole, checked
from metarl.tasks.cache import cached, fingerprint
from metarl.tasks.decoding import Files, Side, decode, files_in_folders, folders_in, is_folder, listed
from metarl.tasks.image_classes import ImageClasses

Split = Literal["train", "validation", "test"]
FOLDERS: dict[Split, tuple[str, ...]] = {
    "train": ("train",),
    "validation": ("val", "validation", "valid"),
    "test": ("test",),
}


@checked
def data_folder(data: str | Path | None = None) -> Path:
    """`data`, or else the folder METARL_DATA names, or else the user's cache folder, which need not exist yet.

    Raises ValueError where a folder was named and is not there.
    """
    named = data or os.environ.get("METARL_DATA")
    if not named:
        return Path(pooch.os_cache("metarl"))
    return _existing(Path(named), f"make it, or correct {'--data' if data else 'METARL_DATA'}")


def _existing(folder: Path, remedy: str) -> Path:
    """The resolved path of a folder that can be read."""
    try:
        folder = folder.expanduser()
    except RuntimeError:  # there is no such user
        raise ValueError(f"there is no folder {folder}: {remedy}") from None
    if not is_folder(folder):
        raise ValueError(f"there is no folder {folder}: {remedy}")
    listed(folder)  # raises where it may not be read
    return folder.resolve()


def check_split(split: Split, among: Sequence[str], where: str) -> None:
    """Raises ValueError for a split that is not `among` those there are."""
    if split not in among:
        raise ValueError(f"there is no split {split!r} in {where}: choose from {', '.join(among)}")


def split_classes(classes: int, counts: dict[Split, int], split: Split, *, seed: int) -> list[int]:
    """The indices of a split's classes, sorted: a permutation by `seed` cut by `counts` in their order, which sum to
    `classes`. Equal seeds and equal last counts make equal last splits.
    """
    order = np.random.default_rng(seed).permutation(classes)
    starts = dict(zip(counts, np.cumsum([0, *counts.values()]), strict=False))
    return sorted(order[starts[split] : starts[split] + counts[split]].tolist())


def split_folders(folder: Path) -> dict[Split, Path]:
    """The folders of splits in `folder`: train, val (or validation, valid) and test, as far as they are there."""
    found: dict[Split, Path] = {}
    for split, names in FOLDERS.items():
        there = [folder / name for name in names if is_folder(folder / name)]
        if len(there) > 1:
            raise ValueError(f"both {there[0]} and {there[1]} are there: keep one folder for the {split} split")
        if there:
            found[split] = there[0]
    return found


def files_of_split(folders: dict[Split, Path], split: Split) -> Files:
    """The files of one split's class folders. Raises ValueError where the split is missing or shares a class."""
    check_split(split, tuple(folders), str(next(iter(folders.values())).parent))
    seen: dict[str, str] = {}
    for of, folder in folders.items():
        for name in folders_in(folder):
            if name in seen:
                raise ValueError(f"class {name} is in the {seen[name]} and in the {of} split: keep it in one")
            seen[name] = of
    files = files_in_folders(folders[split])
    if not files:
        raise ValueError(f"{folders[split]} holds no class folders: give each class a folder of its images there")
    return files


@checked
def image_folder(
    path: str | Path, split: Split, *, size: Side = 84, grey: bool = False, seed: Whole = 0
) -> ImageClasses:
    """One split of a folder of images: PATH/train/CLASS/IMAGE, PATH/val/… and PATH/test/…, or just PATH/CLASS/IMAGE.

    In the second form the classes are divided by `seed`, 64 to 16 to 20 in a hundred. Images are stretched to size ×
    size pixels, RGB unless `grey`. Raises ValueError for a missing folder or split, a class in two splits, a class
    folder without images and an image that cannot be read.
    """
    path = _existing(Path(path), "give one with a folder of images for each class")
    folders = split_folders(path)
    if folders:
        files, name = files_of_split(folders, split), f"{split}-"
    else:
        files, name = files_in_folders(path), ""
        if len(files) < 5:  # 64 : 16 : 20 leaves no split empty from five on
            raise ValueError(f"{path} holds {len(files)} class folders: 5 are the fewest that can be split in three")
    mode: Literal["L", "RGB"] = "L" if grey else "RGB"
    source = fingerprint(Path(file.path) for of_class in files.values() for file in of_class)
    build_name = f"{name}{mode}-{size}"
    classes = cached(path, build_name, source, lambda: decode(files, size=size, mode=mode))
    if folders:
        return classes
    test, validation = round(0.2 * len(files)), round(0.16 * len(files))
    counts: dict[Split, int] = {"train": len(files) - test - validation, "validation": validation, "test": test}
    return classes.select(split_classes(len(files), counts, split, seed=seed))
