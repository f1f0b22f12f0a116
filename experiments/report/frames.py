"""The frames of a film: episodes are composed side by side with captions, and written as .mp4 or .gif."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

BAND, TEXT, BEFORE, AFTER = (24, 26, 30), (235, 235, 235), (240, 180, 90), (110, 190, 245)  # colours
GAP = (128, 128, 128)  # colour of the line between episodes
PALETTE = 96  # number of colours of a GIF in addition to those above


class Format(NamedTuple):
    """The layout of a film, in pixels."""

    width: int  # of the picture of an episode
    height: int
    band: int  # height of the band with captions above it
    font: int  # size of the font
    every: int  # number of actions per frame

    @property
    def line(self) -> int:
        """The distance between lines of text, in pixels."""
        return self.band // 3


FORMATS = {".mp4": Format(480, 384, 96, 20, every=1), ".gif": Format(320, 240, 66, 14, every=2)}


class Shot(NamedTuple):
    """One moment of an episode."""

    picture: np.ndarray  # [height, width, 3] uint8 in any size; it is fitted into the film
    step: int
    measured: str  # such as "velocity 1.43 m/s"
    total: float  # return so far
    over: bool  # whether the episode terminated here


class Panel(NamedTuple):
    """One of the episodes side by side."""

    shots: Sequence[Shot]
    title: str
    goal: str
    colour: tuple[int, int, int]  # of the title


def compose(panels: Sequence[Panel], *, slowed: str, form: Format) -> Iterator[Image]:
    """Yield the frames of the film. An episode that has ended shows its last picture until the others end."""
    from PIL import Image, ImageDraw, ImageFont, ImageOps

    font = ImageFont.load_default(size=form.font)
    for i in range(max(len(panel.shots) for panel in panels)):
        frame = Image.new("RGB", (form.width * len(panels), form.band + form.height), BAND)
        draw = ImageDraw.Draw(frame)
        for column, panel in enumerate(panels):
            shot, left = panel.shots[min(i, len(panel.shots) - 1)], column * form.width
            picture = ImageOps.pad(Image.fromarray(shot.picture), (form.width, form.height), color=BAND)
            frame.paste(picture, (left, form.band))
            rows = (
                (panel.title, f"{'ended at ' if shot.over else ''}step {shot.step}", panel.colour),
                (panel.goal, slowed, TEXT),
                (shot.measured, f"return {shot.total:.1f}", TEXT),
            )
            for row, (text, right, fill) in enumerate(rows):
                y = round((row + 0.5) * form.line)
                draw.text((left + form.font // 2, y), text, font=font, fill=fill, anchor="lm")
                draw.text((left + form.width - form.font // 2, y), right, font=font, fill=fill, anchor="rm")
        for left in range(form.width, frame.width, form.width):
            draw.rectangle([(left - 1, 0), (left, frame.height)], fill=GAP)
        yield frame


def writer(suffix: str) -> Callable[[Path, Iterator[Image], float], None]:
    """A function that writes frames to a file with this suffix. Raises ValueError if a package is missing."""
    try:
        import_module("PIL.ImageFont")
        if suffix == ".mp4":
            import_module("imageio")
            import_module("imageio_ffmpeg").get_ffmpeg_exe()  # raises RuntimeError if there is no ffmpeg
    except (ImportError, RuntimeError) as error:
        raise ValueError(f'films need imageio, ffmpeg, Pillow ({error}): pip install "metarl-torch[video]"') from None
    return _write_mp4 if suffix == ".mp4" else _write_gif


def _write_mp4(path: Path, frames: Iterator[Image], rate: float) -> None:
    import imageio.v2 as imageio
    from imageio_ffmpeg import count_frames_and_secs

    shots = [np.asarray(frame) for frame in frames]
    writer: Any = imageio.get_writer(path, format="FFMPEG", fps=rate, quality=8, ffmpeg_log_level="error")
    try:
        with writer:
            for shot in shots:
                writer.append_data(shot)
        whole = count_frames_and_secs(str(path))[0] == len(shots)
    except (OSError, RuntimeError):  # whose messages contain the whole output of ffmpeg
        whole = False
    if not whole:
        raise OSError("ffmpeg could not write all of the film")


def _write_gif(path: Path, frames: Iterator[Image], rate: float) -> None:
    """Write a GIF with one palette and without dithering, so that parts that do not move take no space."""
    from PIL.Image import Dither

    first = next(frames)
    palette = first.quantize(PALETTE)
    text = [channel for colour in (BAND, TEXT, BEFORE, AFTER, GAP) for channel in colour]
    palette.putpalette([*(palette.getpalette() or [])[: 3 * PALETTE], *text])
    images = (frame.quantize(palette=palette, dither=Dither.NONE) for frame in chain([first], frames))
    next(images).save(path, format="GIF", save_all=True, append_images=images, duration=round(1000 / rate), loop=0)
