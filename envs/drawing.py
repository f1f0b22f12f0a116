"""Plain pictures of a plane, without a graphics library."""

from collections.abc import Sequence

import numpy as np

GREY, RED, BLUE, BLACK = (200, 200, 200), (207, 34, 46), (9, 105, 218), (36, 41, 47)


class Canvas:
    """A white picture [height, width, 3] uint8 of a plane: its origin in the middle, y upwards."""

    def __init__(self, width: int, height: int, *, half: float) -> None:
        """`half`: metres from the middle to the nearer edges."""
        scale = half / (min(width, height) / 2)  # metres a pixel
        self.image = np.full((height, width, 3), 255, np.uint8)
        self.x = (np.arange(width) - width / 2 + 0.5) * scale  # [width] m
        self.y = (height / 2 - 0.5 - np.arange(height)[:, None]) * scale  # [height, 1] m

    def bar(self, start: Sequence[float], end: Sequence[float], radius: float, colour: tuple[int, int, int]) -> None:
        """A bar with round ends between two places (m); a disc where they are one."""
        (x, y), (dx, dy) = start, np.subtract(end, start)
        along = ((self.x - x) * dx + (self.y - y) * dy) / max(dx**2 + dy**2, 1e-12)
        nearest = np.clip(along, 0.0, 1.0)
        self.image[np.hypot(self.x - x - nearest * dx, self.y - y - nearest * dy) < radius] = colour
