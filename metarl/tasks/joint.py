"""Ordinary classification of all classes at once, on which baselines of few-shot learning are pre-trained."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from metarl.core import Distribution, Predictor, Tasks
from metarl.devices import as_device
from metarl.losses import Samples
from metarl.ranges import Count, Range, Whole, checked
from metarl.tasks.datasets.image_classes import ImageClasses
from metarl.tasks.images import Picks, Warp, accuracy, draw_warps, gather_images, shifted_windows


class JointTasks(Tasks):
    """T batches of images with their classes as labels. They have a query only, and no support."""

    def __init__(self, windows: Tensor, picks: Picks) -> None:
        self.n, self.windows, self._picks = len(picks.indices), windows, picks

    @cached_property
    def _batch(self) -> Samples:
        return gather_images(self.windows, self._picks)

    def share(self, rows: slice) -> JointTasks:
        return JointTasks(self.windows, self._picks.of_tasks(rows))

    def support(self, predict: Predictor, step: int) -> Samples:
        raise ValueError("joint classification has no support: train a learner with steps=0")

    def query(self, predict: Predictor) -> Samples:
        return self._batch

    def score(self, predict: Predictor) -> Tensor:
        """The accuracy on each batch, [T]."""
        return accuracy(predict(self._batch.x), self._batch.y)


class Joint(Distribution):
    """Tasks that are batches of `images` images from all classes, each labelled with the index of its class.

    `shift` and `warp` are the augmentations of `metarl.tasks.Images`.
    """

    metric = "accuracy"

    @checked
    def __init__(
        self,
        classes: ImageClasses,
        *,
        images: Annotated[int, Range(2)] = 75,  # batch normalisation needs two
        shift: Whole = 0,
        warp: Warp = 0.0,
        device: torch.device | str = "cpu",
    ) -> None:
        self.classes, self.images, self.device = classes, images, as_device(device)
        self.shift, self.warp = shift, warp
        self.windows = shifted_windows(classes.images.to(self.device), shift)

    def memory(self, n: int) -> int:
        return n * self.images * self.classes.bytes_of_one

    @checked
    def sample(self, n: Count, rng: np.random.Generator) -> JointTasks:
        indices = rng.integers(self.classes.counts.sum(), size=(n, self.images))
        labels = np.searchsorted(self.classes.starts, indices, side="right") - 1
        rows, columns = rng.integers(2 * self.shift + 1, size=(2, n, self.images))
        picks = Picks(*(torch.from_numpy(part).to(self.device) for part in (indices, labels, rows, columns)))
        return JointTasks(self.windows, picks._replace(warps=draw_warps(self.warp, picks.indices, rng)))
