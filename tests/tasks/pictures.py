"""Little images for tests: folders, zips and classes that are not real data."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import torch
from PIL import Image

from metarl.tasks.images import ImageClasses


def png(grey: int, *, size: int = 8) -> bytes:
    """An even grey square."""
    return encoded(Image.new("L", (size, size), grey), "png")


def encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    """The content of an image file."""
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def class_folders(folder: Path, classes: int, images: int, *, prefix: str = "class") -> None:
    """Classes prefix00, … of images whose grey is 10·class + image."""
    for c in range(classes):
        for i in range(images):
            write(folder / f"{prefix}{c:02d}" / f"{i}.png", png(10 * c + i))


def zipped(path: Path, names: list[str]) -> None:
    """A zip of even squares, the i-th of grey i mod 256."""
    with ZipFile(path, "w") as archive:
        for i, name in enumerate(names):
            archive.writestr(name, png(i % 256))


def numbered(counts: list[int], *, channels: int = 1, size: int = 2) -> ImageClasses:
    """Classes of images filled with their own number 0, 1, … (255 at most)."""
    numbers = torch.arange(sum(counts), dtype=torch.uint8)[:, None, None, None]
    images = numbers.expand(-1, channels, size, size).contiguous()
    return ImageClasses(images, tuple(f"c{c}" for c in range(len(counts))), np.array(counts))
