"""Image files to one uint8 tensor: decoding, resizing, and where a class's files lie in a folder or a zip."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple
from zipfile import ZipFile

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.progress import track

from metarl.tasks.images import ImageClasses

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff"}


class ImageFile(NamedTuple):
    """An image file: its path, for messages, and how to read its bytes."""

    path: str
    read: Callable[[], bytes]


Files = dict[str, list[ImageFile]]  # the files of each class, both in alphabetical order


def is_image(name: str) -> bool:
    """Whether a file counts as an image: by its suffix, and not hidden."""
    path = PurePosixPath(name)
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def files_in_folders(folder: Path, *, depth: int = 1) -> Files:
    """The images below `folder` by class; a class is a folder `depth` levels below it, hidden ones left out.

    Raises ValueError for a class folder without images.
    """
    found: Files = {}
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if not entry.is_dir() or entry.name.startswith("."):
            continue
        if depth > 1:
            inner = files_in_folders(Path(entry.path), depth=depth - 1)
            found |= {f"{entry.name}/{name}": files for name, files in inner.items()}
            continue
        paths = sorted(Path(file.path) for file in os.scandir(entry.path) if file.is_file() and is_image(file.name))
        if not paths:
            raise ValueError(f"{entry.path} holds no images ({', '.join(sorted(SUFFIXES))}): fill or remove the folder")
        found[entry.name] = [ImageFile(str(path), path.read_bytes) for path in paths]
    return found


def files_in_zip(archive: ZipFile) -> Files:
    """The images of a zip by class; a class is a folder, named without the zip's outermost one. Nothing is unpacked."""
    found: Files = {}
    for name in sorted(archive.namelist()):
        inside = PurePosixPath(name).parts[1:-1]
        if inside and is_image(name):
            file = ImageFile(f"{archive.filename}:{name}", partial(archive.read, name))
            found.setdefault("/".join(inside), []).append(file)
    return found


def decode(files: Mapping[str, Sequence[ImageFile]], *, size: int, mode: Literal["L", "RGB"]) -> ImageClasses:
    """Decode every file to grey ("L", one channel) or RGB and to size × size pixels, stretching, with Pillow's LANCZOS.

    It is the filter of the MAML authors' scripts, for both data sets. Shows a progress bar on a terminal. Raises
    ValueError for an image that cannot be read, naming it.
    """
    if size < 1:
        raise ValueError(f"size is {size}: give 1 pixel or more")
    channels = len(mode)
    images = np.empty((sum(map(len, files.values())), channels, size, size), np.uint8)
    flat = [file for of_class in files.values() for file in of_class]

    def fill(place: int) -> None:
        path, read = flat[place]
        try:
            with Image.open(io.BytesIO(read())) as image:
                small = image.convert(mode).resize((size, size), Image.Resampling.LANCZOS)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            reason = "not an image" if isinstance(error, Image.UnidentifiedImageError) else error
            raise ValueError(f"cannot read the image {path} ({reason}): replace or remove it") from None
        images[place] = np.asarray(small).reshape(size, size, channels).transpose(2, 0, 1)

    console = Console(stderr=True)
    with ThreadPoolExecutor() as pool:
        done = pool.map(fill, range(len(flat)))
        for _ in track(done, "decoding images", len(flat), console=console, disable=not console.is_terminal):
            pass
    return ImageClasses(torch.from_numpy(images), tuple(files), np.array([len(f) for f in files.values()], np.int64))
