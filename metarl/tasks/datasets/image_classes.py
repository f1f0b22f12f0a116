"""Classes of images, stored in one tensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from metarl.ranges import Settings, Whole, checked, shown


@dataclass(frozen=True)
class ImageClasses(Settings):
    """C classes of M images in total, stored class after class in one tensor.

    `images` is uint8 [M, channels, size, size] with values 0 … 255, `names` are the C distinct names of the classes,
    and `counts`, int64 [C], are their numbers of images, which sum to M. Raises ValueError for anything else.
    """

    images: Tensor
    names: tuple[str, ...]
    counts: np.ndarray

    def check_together(self) -> None:
        images, counts = self.images, self.counts
        if images.dtype != torch.uint8:
            raise ValueError(
                f"images are {str(images.dtype).removeprefix('torch.')}: give uint8 from 0 to 255 (convert floats "
                f"from 0 to 1 by (255 * images).round().to(torch.uint8))"
            )
        if images.ndim != 4 or images.shape[2] != images.shape[3] or not images.numel():
            raise ValueError(f"images have the shape {list(images.shape)}: give squares, [M, channels, size, size]")
        if counts.dtype != np.int64 or counts.shape != (len(self.names),):
            raise ValueError(
                f"counts are {counts.dtype} {list(counts.shape)}: give int64 [{len(self.names)}], one for each name"
            )
        if len(set(self.names)) < len(self.names):
            twice = next(name for i, name in enumerate(self.names) if name in self.names[:i])
            raise ValueError(f"names has {twice!r} twice: give each class a different name")
        if counts.min(initial=1) < 1 or counts.sum() != len(images):
            raise ValueError(
                f"counts are at least {counts.min(initial=1)} and sum to {counts.sum()}: give at least 1 for each "
                f"class, and the sum {len(images)}, the number of images"
            )

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def starts(self) -> np.ndarray:
        """The index of each class's first image, int64 [C]."""
        return np.cumsum(self.counts) - self.counts

    @property
    def bytes_of_one(self) -> int:
        """The bytes of one image in a batch, with its label and index; pixels are float32."""
        return 4 * self.images[0].numel() + 16

    @cached_property
    def families(self) -> list[np.ndarray]:
        """The indices [m] of the classes of each family: an alphabet in one rotation and reflection.

        A name is "alphabet/character"; names without a slash form one family.
        """
        members: dict[tuple[str, str], list[int]] = {}
        for i, name in enumerate(self.names):
            alphabet, slash, character = name.partition("/")
            members.setdefault((alphabet, character.partition(" ")[2]) if slash else ("", ""), []).append(i)
        return [np.array(of_one) for of_one in members.values()]

    @checked
    def select(self, chosen: Sequence[Whole]) -> ImageClasses:
        """The classes with the indices `chosen`, in this order."""
        chosen = list(chosen)
        if not chosen or max(chosen) >= len(self):
            raise ValueError(f"chosen is {shown(chosen)}: give at least one index, all below {len(self)}")
        rows = [np.arange(self.starts[c], self.starts[c] + self.counts[c]) for c in chosen]
        images = self.images[torch.from_numpy(np.concatenate(rows))]
        return ImageClasses(images, tuple(self.names[c] for c in chosen), self.counts[chosen])

    def rotated(self) -> ImageClasses:
        """Four times as many classes: each class, and its rotations by 90, 180 and 270 degrees as new classes."""
        images = torch.cat([torch.rot90(self.images, turns, (2, 3)) for turns in range(4)])
        names = tuple(f"{name} turned {90 * turns}" if turns else name for turns in range(4) for name in self.names)
        return ImageClasses(images, names, np.tile(self.counts, 4))

    def mirrored(self) -> ImageClasses:
        """Twice as many classes: each class, and its mirror images as a new class."""
        images = torch.cat([self.images, self.images.flip(3)])
        names = (*self.names, *(f"{name} mirrored" for name in self.names))
        return ImageClasses(images, names, np.tile(self.counts, 2))
