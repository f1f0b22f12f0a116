"""Omniglot: 1623 handwritten characters of 50 alphabets, 20 drawings of each (Lake et al. 2015)."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Literal, NamedTuple
from zipfile import ZipFile

from metarl.files import regular_file
from metarl.ranges import Whole, checked
from metarl.tasks.datasets.cache import cached, fingerprint
from metarl.tasks.datasets.decoding import Files, Side, decode, files_in_folders, files_in_zip, is_folder
from metarl.tasks.datasets.download import download as fetch
from metarl.tasks.datasets.folder import Split, check_split, data_folder, split_classes
from metarl.tasks.datasets.image_classes import ImageClasses

Protocol = Literal["maml", "reptile", "vinyals", "small"]

URL = "https://github.com/brendenlake/omniglot/raw/master/python"
DRAWINGS = 20  # images of each character
SMALL_ALPHABETS: dict[Split, tuple[str, ...]] = {
    "train": ("Greek", "Japanese_(katakana)", "Korean", "Latin", "Sanskrit"),
    "validation": ("Early_Aramaic",),
    "test": ("Balinese", "Tagalog"),
}  # the alphabets of the small sets


class Archive(NamedTuple):
    """One of the authors' zips: its md5 and its number of characters."""

    md5: str
    characters: int


FULL = {
    "images_background": Archive("68d2efa1b9178cc56df9314c21c6e718", 964),
    "images_evaluation": Archive("6b91aef0f799c5bb55b94e3f2daec811", 659),
}
SMALL = {
    "images_background_small1": Archive("e704a628b5459e08445c13499850abc4", 136),
    "images_background_small2": Archive("b75a71a51d3b13f821f212756fe481fd", 156),
}
COUNTS: dict[str, dict[Split, int]] = {
    "maml": {"train": 1100, "validation": 100, "test": 423},
    "reptile": {"train": 1200, "test": 423},
    "vinyals": {"train": 1028, "validation": 172, "test": 423},
}
ROTATED_IN_TRAINING_ONLY = ("reptile", "small")


@checked
def omniglot(
    data: str | Path | None,
    split: Split,
    *,
    protocol: Protocol = "maml",
    rotations: bool = True,
    size: Side = 28,
    seed: Whole = 0,
    download: bool = True,
) -> ImageClasses:
    """The characters of one split of Omniglot, images [M, 1, size, size] with ink 255 and paper 0.

    The authors' zips, or their unpacked folders, are searched in `data` (see `data_folder`) and its folder omniglot/.
    Missing zips are downloaded there unless `download` is False. `protocol` names the split:

    - "maml": 1100 / 100 / 423 characters (Finn et al. 2017, and the validation set of Antoniou et al. 2019);
    - "reptile": 1200 / 423, without a validation set (Nichol et al. 2018);
    - "vinyals": 1028 / 172 / 423, the sizes of the split after Vinyals et al. 2016;
    - "small": the two small background sets with whole alphabets held out: 179 / 22 / 41 characters of 5 / 1 / 2.

    The first three draw their characters by `seed`, so the characters of a split are not exactly those of the papers;
    with equal seeds they have the same test characters. `rotations` adds the rotations of each character by 90, 180 and
    270 degrees as new classes, after the split: in every split for "maml" and "vinyals", as in the papers' code, and
    only in training for "reptile" and "small". Raises ValueError for a split that the protocol does not have and for
    data that are missing, damaged or incomplete, and OSError if a download fails.
    """
    splits = tuple(SMALL_ALPHABETS if protocol == "small" else COUNTS[protocol])
    check_split(split, splits, f"Omniglot's protocol {protocol}")
    classes = _characters(data_folder(data), SMALL if protocol == "small" else FULL, size=size, download=download)
    if protocol == "small":
        kept = [i for i, name in enumerate(classes.names) if name.split("/")[0] in SMALL_ALPHABETS[split]]
        classes = classes.select(kept)
    else:
        classes = classes.select(split_classes(len(classes), COUNTS[protocol], split, seed=seed))
    rotated = split == "train" or protocol not in ROTATED_IN_TRAINING_ONLY
    return classes.rotated() if rotations and rotated else classes


def _characters(data: Path, archives: dict[str, Archive], *, size: int, download: bool) -> ImageClasses:
    """All characters of `archives`, without duplicates, sorted by alphabet and number."""
    places = {name: _place(data, name, archive, download=download) for name, archive in archives.items()}
    folders = {name: files_in_folders(place, depth=2) for name, place in places.items() if place.is_dir()}
    zips = {name: place for name, place in places.items() if name not in folders}

    def build() -> ImageClasses:
        with ExitStack() as stack:
            found = dict(folders)
            for name, path in zips.items():
                _check_md5(path, archives[name].md5)
                found[name] = files_in_zip(stack.enter_context(ZipFile(path)))
            for name, files in found.items():
                _check_counts(places[name], files, archives[name].characters)
            merged: Files = {}
            for files in found.values():
                merged = files | merged
            classes = decode(dict(sorted(merged.items())), size=size, mode="L")
        return ImageClasses(255 - classes.images, classes.names, classes.counts)

    source = fingerprint([*zips.values(), *_paths(folders.values())])
    return cached(data, f"omniglot-{'-'.join(archives)}-{size}", source, build)


def _place(data: Path, name: str, archive: Archive, *, download: bool) -> Path:
    """The zip `name` or its unpacked folder. If neither exists, the zip is downloaded."""
    around = [data, data / "omniglot", data / "omniglot" / "python", data / "omniglot-py"]
    for place in (*(folder / f"{name}.zip" for folder in around), *(folder / name for folder in around)):
        if is_folder(place):
            return place
        if place.suffix == ".zip" and os.path.lexists(place):
            return regular_file(place)
    place = data / "omniglot" / f"{name}.zip"
    if not download:
        raise ValueError(
            f"no Omniglot in {data}: there is neither {name}.zip nor a folder {name}, also not in omniglot/; "
            f"save {URL}/{name}.zip there, or give the folder that has it by --data or METARL_DATA"
        )
    fetch(f"{URL}/{name}.zip", place, md5=archive.md5)
    return place


def _paths(found: Iterable[Files]) -> Iterable[Path]:
    return (Path(file.path) for files in found for of_class in files.values() for file in of_class)


def _check_md5(path: Path, md5: str) -> None:
    try:
        with regular_file(path).open("rb") as file:
            digest = hashlib.file_digest(file, "md5").hexdigest()
    except OSError as error:
        raise ValueError(f"cannot read {path} ({error.strerror}): check its permissions") from None
    if digest != md5:
        raise ValueError(f"{path} is damaged or another file (md5 {digest}, not {md5}): replace it")


def _check_counts(place: Path, files: Files, characters: int) -> None:
    if len(files) != characters:
        raise ValueError(f"{place} has {len(files)} characters, not {characters}: delete it and download it again")
    for name, drawings in files.items():
        if len(drawings) != DRAWINGS:
            raise ValueError(
                f"{place} has {len(drawings)} drawings of {name}, not {DRAWINGS}: delete it and download it again"
            )
