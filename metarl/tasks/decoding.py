"""Image files to one uint8 tensor: decoding, resizing, and where a class's files lie in a folder or a zip."""

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
from metarl.tasks.image_classes import ImageClasses

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff"}
LARGEST = 50_000_000
"""Pixels of one image file: some photographs have half as many, and every thread holds one."""
MOST = 20_000_000_000
"""Pixels of all image files together: minutes of decoding."""
BYTES = 4 * LARGEST
"""Of one image file."""

Side = Annotated[int, Range(1, 1024)]
"""The width and height of decoded images, in pixels."""


class ImageFile(NamedTuple):
    """An image file: its path, for messages, and how to open it."""

    path: str
    open: Callable[[], IO[bytes]]


Files = dict[str, list[ImageFile]]  # the files of each class, both in alphabetical order


def image_file(path: Path) -> ImageFile:
    """The image file at `path`."""
    return ImageFile(str(path), lambda: regular_file(path).open("rb"))


def is_image(name: str) -> bool:
    """Whether a file counts as an image: by its suffix, and not hidden."""
    path = PurePosixPath(name)
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def is_folder(path: Path) -> bool:
    """Whether a folder is at `path`. Raises ValueError for a link to nothing, and for what may not be looked at."""
    try:
        if path.is_symlink() and not path.exists():
            raise ValueError(f"{path} is a broken link: restore what it stands for, or remove it")
        return path.is_dir()
    except OSError as error:
        raise ValueError(f"cannot read {path} ({error.strerror})") from None


def listed(folder: Path) -> list[os.DirEntry[str]]:
    """What is in `folder`, in alphabetical order, hidden things left out. Raises ValueError where it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return sorted((entry for entry in entries if entry.name[0] != "."), key=lambda entry: entry.name)
    except OSError as error:
        raise ValueError(f"cannot read the folder {folder} ({error.strerror}): see to its permissions") from None


def folders_in(folder: Path) -> list[str]:
    """The names of the folders in `folder`, in alphabetical order, hidden ones left out; links to folders count."""
    return [
        entry.name
        for entry in listed(folder)
        if (is_folder(Path(entry.path)) if entry.is_symlink() else entry.is_dir())
    ]


def files_in_folders(folder: Path, *, depth: int = 1) -> Files:
    """The images below `folder` by class; a class is a folder `depth` levels below it, hidden ones left out.

    Raises ValueError for a class folder without images, and for what is named as an image or linked, but is no file.
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
    """The images of a zip by class; a class is a folder, named without the zip's outermost one. Nothing is unpacked."""
    found: Files = {}
    for name in sorted(set(archive.namelist())):
        inside = PurePosixPath(name).parts[1:-1]
        if inside and is_image(name):
            file = ImageFile(f"{archive.filename}:{name}", partial(archive.open, name))
            found.setdefault("/".join(inside), []).append(file)
    return found


@checked
def decode(files: Mapping[str, Sequence[ImageFile]], *, size: Side, mode: Literal["L", "RGB"]) -> ImageClasses:
    """Decode every file to grey ("L", one channel) or RGB and to size × size pixels, stretching, with Pillow's LANCZOS.

    It is the filter of the MAML authors' scripts, for both data sets. What is transparent is laid on white. Shows a
    progress bar on a terminal. Raises ValueError, naming it, for an image that cannot be read, is larger than LARGEST
    or animated; and, before any is decoded, where all together are larger than MOST.
    """
    flat = [file for of_class in files.values() for file in of_class]
    channels = len(mode)

    def fill(place: int) -> None:
        file = flat[place]
        with _naming(file), file.open() as stream:
            content = stream.read(BYTES + 1)
            if len(content) > BYTES:
                raise ValueError(f"it has more than {BYTES} bytes")
            with Image.open(io.BytesIO(content)) as image:
                _check_size(image)
                small = _plain(image, mode).resize((size, size), Image.Resampling.LANCZOS)
        images[place] = np.asarray(small).reshape(size, size, channels).transpose(2, 0, 1)

    console = Console(stderr=True)
    with ThreadPoolExecutor() as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # LARGEST is smaller
        _check_sum(flat)
        try:
            images = np.empty((len(flat), channels, size, size), np.uint8)
        except MemoryError:
            need = len(flat) * channels * size**2 / 2**30
            raise ValueError(f"{len(flat)} images of {size} pixels take {need:.0f} GiB of memory: lower size") from None
        done = pool.map(fill, range(len(flat)))
        for _ in track(done, "decoding images", len(flat), console=console, disable=not console.is_terminal):
            pass
    return ImageClasses(torch.from_numpy(images), tuple(files), np.array([len(f) for f in files.values()], np.int64))


@contextmanager
def _naming(file: ImageFile) -> Iterator[None]:
    """Turn whatever goes wrong within into a ValueError of a line that names the file."""
    try:
        yield
    except Exception as error:  # a damaged image can fail in any way
        lines = str(error.strerror if isinstance(error, OSError) and error.strerror else error).splitlines()
        reason = "not an image" if isinstance(error, Image.UnidentifiedImageError) or not lines else lines[0]
        raise ValueError(f"cannot read the image {file.path} ({reason}): replace or remove it") from None


def _pixels(file: ImageFile) -> int:
    """How many pixels an image has, from its header alone."""
    with _naming(file), file.open() as stream, Image.open(stream) as image:
        _check_size(image)
        return image.width * image.height


def _check_size(image: Image.Image) -> None:
    if image.width * image.height > LARGEST:
        raise ValueError(f"it has {image.width} × {image.height} pixels, and {LARGEST} are the most")


def _check_sum(files: Sequence[ImageFile]) -> None:
    total = 0
    for file in files:
        total += _pixels(file)
        if total > MOST:
            raise ValueError(f"with {file.path} the images have more than {MOST} pixels together: shrink them first")


def _plain(image: Image.Image, mode: Literal["L", "RGB"]) -> Image.Image:
    """The image in grey or RGB of 8 bits. Raises ValueError for several frames and for numbers without a range."""
    if getattr(image, "is_animated", False) and image.format != "MPO":  # a camera's, with a preview
        raise ValueError("it has several frames")
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
        image = Image.fromarray(np.rint(np.asarray(image) / 257).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError("its pixels are numbers of 32 bits")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image.convert(mode)
