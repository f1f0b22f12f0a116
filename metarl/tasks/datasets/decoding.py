"""Decoding image files into one uint8 tensor, and finding the files of each class in a folder or a zip."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Annotated, Literal, NamedTuple
from zipfile import ZipFile

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.progress import track

from metarl.files import regular_file
from metarl.ranges import Range, checked
from metarl.tasks.datasets.image_classes import ImageClasses

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff"}
MAX_PIXELS = 50_000_000
"""The limit on the pixels of one image file. Some photographs have half as many; each thread holds one image."""
MAX_TOTAL_PIXELS = 20_000_000_000
"""The limit on the pixels of all image files together, which take minutes to decode."""
MAX_BYTES = 4 * MAX_PIXELS
"""The limit on the size of one image file."""

Side = Annotated[int, Range(1, 1024)]
"""The width and height of decoded images, in pixels."""


class ImageFile(NamedTuple):
    """An image file: its path, for messages, and a function that opens it."""

    path: str
    open: Callable[[], IO[bytes]]


Files = dict[str, list[ImageFile]]
"""The image files of each class; classes and files are in alphabetical order."""


def image_file(path: Path) -> ImageFile:
    """The image file at `path`."""
    return ImageFile(str(path), lambda: regular_file(path).open("rb"))


def is_image(name: str) -> bool:
    """Whether a file name has the suffix of an image and is not hidden."""
    path = PurePosixPath(name)
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def is_folder(path: Path) -> bool:
    """Whether `path` is a folder. Raises ValueError for a broken link and for a path without permission."""
    try:
        if path.is_symlink() and not path.exists():
            raise ValueError(f"{path} is a broken link: restore its target, or remove it")
        return path.is_dir()
    except OSError as error:
        raise ValueError(f"cannot read {path} ({error.strerror})") from None


def listed(folder: Path) -> list[os.DirEntry[str]]:
    """The entries of `folder` that are not hidden, in alphabetical order. Raises ValueError if it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return sorted((entry for entry in entries if entry.name[0] != "."), key=lambda entry: entry.name)
    except OSError as error:
        raise ValueError(f"cannot read the folder {folder} ({error.strerror}): check its permissions") from None


def folders_in(folder: Path) -> list[str]:
    """The names of the folders in `folder` that are not hidden, in alphabetical order, including links to folders."""
    return [
        entry.name
        for entry in listed(folder)
        if (is_folder(Path(entry.path)) if entry.is_symlink() else entry.is_dir())
    ]


def files_in_folders(folder: Path, *, depth: int = 1) -> Files:
    """The image files below `folder` by class. A class is a folder `depth` levels below it that is not hidden.

    Raises ValueError for a class folder without images, and for an entry with the name of an image that is not a file.
    """
    found: Files = {}
    for name in folders_in(folder):
        inner = folder / name
        if depth > 1:
            found |= {f"{name}/{of}": files for of, files in files_in_folders(inner, depth=depth - 1).items()}
            continue
        entries = [entry for entry in listed(inner) if is_image(entry.name)]
        if not entries:
            raise ValueError(f"{inner} holds no images ({', '.join(sorted(SUFFIXES))}): fill or remove the folder")
        for entry in entries:
            if not entry.is_file(follow_symlinks=False):
                regular_file(Path(entry.path))
        found[name] = [image_file(Path(entry.path)) for entry in entries]
    return found


def files_in_zip(archive: ZipFile) -> Files:
    """The image files in a zip by class, without unpacking it. A class is a folder below the zip's outermost folder."""
    found: Files = {}
    for name in sorted(set(archive.namelist())):
        inside = PurePosixPath(name).parts[1:-1]
        if inside and is_image(name):
            file = ImageFile(f"{archive.filename}:{name}", partial(archive.open, name))
            found.setdefault("/".join(inside), []).append(file)
    return found


@checked
def decode(files: Mapping[str, Sequence[ImageFile]], *, size: Side, mode: Literal["L", "RGB"]) -> ImageClasses:
    """Decode every file to greyscale ("L", one channel) or RGB, resized to size × size pixels.

    Images are stretched to squares by Pillow's LANCZOS filter, which the MAML authors' scripts use for both data sets.
    Transparent pixels are blended with white. Shows a progress bar on a terminal. Raises ValueError, which names the
    file, for an image that cannot be read, has several frames or more than MAX_PIXELS pixels, and, before any image is
    decoded, if all together have more than MAX_TOTAL_PIXELS.
    """
    flat = [file for of_class in files.values() for file in of_class]
    channels = len(mode)

    def fill(place: int) -> None:
        file = flat[place]
        with _naming(file), file.open() as stream:
            content = stream.read(MAX_BYTES + 1)
            if len(content) > MAX_BYTES:
                raise ValueError(f"it has more than {MAX_BYTES} bytes")
            with Image.open(io.BytesIO(content)) as image:
                _check_size(image)
                small = _plain(image, mode).resize((size, size), Image.Resampling.LANCZOS)
        images[place] = np.asarray(small).reshape(size, size, channels).transpose(2, 0, 1)

    console = Console(stderr=True)
    with ThreadPoolExecutor() as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # MAX_PIXELS is a lower limit
        _check_total(flat)
        try:
            images = np.empty((len(flat), channels, size, size), np.uint8)
        except MemoryError:
            need = len(flat) * channels * size**2 / 2**30
            raise ValueError(f"{len(flat)} images of {size} pixels need {need:.0f} GiB of memory: lower size") from None
        done = pool.map(fill, range(len(flat)))
        for _ in track(done, "decoding images", len(flat), console=console, disable=not console.is_terminal):
            pass
    return ImageClasses(torch.from_numpy(images), tuple(files), np.array([len(f) for f in files.values()], np.int64))


@contextmanager
def _naming(file: ImageFile) -> Iterator[None]:
    """Turn any error in the block into a ValueError whose one line names the file."""
    try:
        yield
    except Exception as error:  # a damaged image can fail in any way
        lines = str(error.strerror if isinstance(error, OSError) and error.strerror else error).splitlines()
        reason = "not an image" if isinstance(error, Image.UnidentifiedImageError) or not lines else lines[0]
        raise ValueError(f"cannot read the image {file.path} ({reason}): replace or remove it") from None


def _pixels(file: ImageFile) -> int:
    """The number of pixels of an image, from its header."""
    with _naming(file), file.open() as stream, Image.open(stream) as image:
        _check_size(image)
        return image.width * image.height


def _check_size(image: Image.Image) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(f"it has {image.width} × {image.height} pixels, and the limit is {MAX_PIXELS}")


def _check_total(files: Sequence[ImageFile]) -> None:
    total = 0
    for file in files:
        total += _pixels(file)
        if total > MAX_TOTAL_PIXELS:
            raise ValueError(f"the images up to {file.path} have over {MAX_TOTAL_PIXELS} pixels in all: shrink them")


def _plain(image: Image.Image, mode: Literal["L", "RGB"]) -> Image.Image:
    """The image in 8-bit greyscale or RGB. Raises ValueError for several frames and for 32-bit pixels."""
    if getattr(image, "is_animated", False) and image.format != "MPO":  # a camera's file with a preview image
        raise ValueError("it has several frames")
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
        image = Image.fromarray(np.rint(np.asarray(image) / 257).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError("its pixels have 32 bits, with no defined range")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image.convert(mode)
