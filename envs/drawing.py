"""Simple images of a plane, drawn with NumPy."""

from collections.abc import Sequence

import numpy as np

GREY, RED, BLUE, BLACK = (200, 200, 200), (207, 34, 46), (9, 105, 218), (36, 41, 47)


class Canvas:
    """A white image [height, width, 3] uint8 of a plane with the origin in the centre and y upwards."""

    def __init__(self, width: int, height: int, *, half: float) -> None:
        """Create an image in which the distance from the centre to the nearer edges is `half` metres."""
        scale = half / (min(width, height) / 2)  # metres per pixel
        self.image = np.full((height, width, 3), 255, np.uint8)
        self.x = (np.arange(width) - width / 2 + 0.5) * scale  # [width] m
        self.y = (height / 2 - 0.5 - np.arange(height)[:, None]) * scale  # [height, 1] m

    def bar(self, start: Sequence[float], end: Sequence[float], radius: float, colour: tuple[int, int, int]) -> None:
        """Draw a bar with round ends between two points (m), or a disc if they are equal."""
        (x, y), (dx, dy) = start, np.subtract(end, start)
        along = ((self.x - x) * dx + (self.y - y) * dy) / max(dx**2 + dy**2, 1e-12)
        nearest = np.clip(along, 0.0, 1.0)
        self.image[np.hypot(self.x - x - nearest * dx, self.y - y - nearest * dy) < radius] = colour
