"""A cache of decoded images: a safetensors file beside the data, which is rebuilt when the data change."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

import pooch
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from metarl.files import atomic_write, regular_file
from metarl.tasks.datasets.image_classes import ImageClasses

FORMAT = "2"  # increase this when images are decoded differently, so that old files are not used


def fingerprint(paths: Iterable[Path]) -> str:
    """A digest of the files' names, sizes and modification times. Raises ValueError for a path that is not a file."""
    digest = hashlib.sha256()
    for path in paths:
        stat = regular_file(path).stat()
        digest.update(os.fsencode(path) + f"\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def cached(data: Path, name: str, source: str, build: Callable[[], ImageClasses]) -> ImageClasses:
    """Read the classes that `build` makes from the cache, or build them and write them there.

    `source` is the fingerprint of the data in the folder `data`, and `name` the name of the cache file. The file is in
    `data`/.metarl-cache or, if that cannot be written or is a link, in the user's cache folder. Its checksum is
    verified. Warns if the file is damaged and if none can be written.
    """
    key = hashlib.sha256(os.fsencode(data.resolve())).hexdigest()[:12]
    places = [data / ".metarl-cache" / f"{name}.safetensors"]
    places.append(Path(pooch.os_cache("metarl")) / ".metarl-cache" / f"{name}-{key}.safetensors")
    for place in places:
        classes = _read(place, source)
        if classes is not None:
            return classes
    classes = build()
    for place in places:
        try:
            _write(place, source, classes)
            return classes
        except OSError as error:
            reason = error
    warnings.warn(f"decoded images cannot be cached and will be decoded again next time: {reason}", stacklevel=2)
    return classes


def _checksum(classes: ImageClasses) -> str:
    names = zlib.crc32(json.dumps(classes.names).encode())
    return str(zlib.crc32(classes.images.numpy().data, zlib.crc32(classes.counts.data, names)))


def _read(path: Path, source: str) -> ImageClasses | None:
    """The classes in `path`. Returns None if there is no current file, and after a warning if it is damaged."""
    if not os.access(path, os.R_OK):
        return None
    try:
        with safe_open(regular_file(path), "pt") as file:
            metadata = file.metadata() or {}
            if (metadata.get("format"), metadata.get("source")) != (FORMAT, source):
                return None
            names, counts = tuple(json.loads(metadata["names"])), file.get_tensor("counts").numpy()
            classes = ImageClasses(file.get_tensor("images"), names, counts)
        if metadata["checksum"] == _checksum(classes):
            return classes
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RecursionError):
        pass
    warnings.warn(f"{path} is damaged and will be rebuilt", stacklevel=3)
    return None


def _write(path: Path, source: str, classes: ImageClasses) -> None:
    folder = path.parent.parent
    if folder.exists() and not folder.stat().st_mode & 0o222:
        raise PermissionError(f"{folder} is marked read-only")  # root could write there all the same
    if path.parent.is_symlink():
        raise PermissionError(f"{path.parent} is a link")  # which could lead out of the data folder
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {
        "format": FORMAT,
        "source": source,
        "names": json.dumps(classes.names),
        "checksum": _checksum(classes),
    }
    with atomic_write(path) as draft:
        try:
            save_file({"images": classes.images, "counts": torch.from_numpy(classes.counts)}, draft, metadata)
        except SafetensorError as error:
            raise OSError(str(error)) from None
