"""Image files of every kind come out as they look, and sizes are bounded before anything is decoded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pictures import encoded, png, write
from PIL import Image

from metarl.tasks.datasets import decoding
from metarl.tasks.datasets.decoding import decode, files_in_folders


def decoded(tmp_path: Path, content: bytes, **settings: Any) -> list[int]:
    """One pixel of an even image of 4 × 4 pixels."""
    write(tmp_path / "class" / "image.png", content)
    images = decode(files_in_folders(tmp_path), **{"size": 4, "mode": "RGB", **settings}).images
    assert (images == images[:, :, :1, :1]).all()
    return images[0, :, 0, 0].tolist()


def even(mode: str, value: Any) -> Image.Image:
    return Image.new(mode, (8, 8), value)


@pytest.mark.parametrize(
    ("image", "format", "expected"),
    [
        (even("L", 100), "png", [100] * 3),
        (even("1", 1), "png", [255] * 3),
        (even("RGB", (10, 20, 30)), "png", [10, 20, 30]),
        (even("CMYK", (255, 0, 0, 0)), "tiff", [0, 255, 255]),
        (even("RGBA", (10, 20, 30, 255)), "png", [10, 20, 30]),
        (even("RGBA", (10, 20, 30, 0)), "png", [255] * 3),  # transparent, whatever colour lies below
        (even("RGBA", (0, 0, 0, 102)), "png", [153] * 3),
        (even("LA", (50, 0)), "png", [255] * 3),
        (even("I;16", 25_700), "png", [100] * 3),  # 100/255 of 65535; Pillow alone makes it 255
        (even("I;16", 65_535), "tiff", [255] * 3),
        (even("I;16", 300), "png", [1] * 3),
        (even("RGB", (10, 20, 30)).quantize(4), "png", [10, 20, 30]),
        (even("RGB", (10, 20, 30)).quantize(4), "gif", [10, 20, 30]),
    ],
)
def test_modes_come_out_as_they_look(tmp_path: Path, image: Image.Image, format: str, expected: list[int]) -> None:
    assert decoded(tmp_path, encoded(image, format)) == expected


def test_a_palette_with_a_transparent_colour(tmp_path: Path) -> None:
    image = even("RGB", (10, 20, 30)).quantize(4)
    assert decoded(tmp_path, encoded(image, "png", transparency=image.getpixel((0, 0)))) == [255] * 3
    assert decoded(tmp_path, encoded(image, "png", transparency=image.getpixel((0, 0))), mode="L") == [255]


def test_the_pixels_of_all_images_are_bounded_before_one_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(5):
        write(tmp_path / "class" / f"{i}.png", png(1, size=10))
    monkeypatch.setattr(decoding, "MAX_TOTAL_PIXELS", 450)
    monkeypatch.setattr(decoding, "_plain", None)
    with pytest.raises(ValueError, match=r"the images up to .*/4\.png have over 450 pixels in all: shrink"):
        decode(files_in_folders(tmp_path), size=4, mode="L")
    monkeypatch.setattr(decoding, "MAX_PIXELS", 99)
    with pytest.raises(ValueError, match=r"0\.png \(it has 10 × 10 pixels, and the limit is 99\): replace"):
        decode(files_in_folders(tmp_path), size=4, mode="L")


def test_links_to_files_and_folders_are_read(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere" / "0.png", png(7))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a").symlink_to(tmp_path / "elsewhere")
    write(tmp_path / "data" / "b" / "0.png", png(9))
    (tmp_path / "data" / "b" / "1.png").symlink_to(tmp_path / "elsewhere" / "0.png")
    classes = decode(files_in_folders(tmp_path / "data"), size=2, mode="L")
    assert classes.names == ("a", "b")
    assert classes.images[:, 0, 0, 0].tolist() == [7, 9, 7]


def test_nothing_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match=r"images have the shape \[0, 3, 4, 4\]"):
        decode({}, size=4, mode="RGB")


def test_resizing_is_pillows(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(256, size=(9, 13, 3), dtype=np.uint8)
    write(tmp_path / "class" / "0.png", encoded(Image.fromarray(pixels), "png"))
    expected = np.asarray(Image.fromarray(pixels).resize((5, 5), Image.Resampling.LANCZOS)).transpose(2, 0, 1)
    found = decode(files_in_folders(tmp_path), size=5, mode="RGB").images[0]
    assert torch.equal(found, torch.from_numpy(expected.copy()))
