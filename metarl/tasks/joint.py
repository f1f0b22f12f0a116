"""Ordinary classification of all classes at once: what a baseline of few-shot learning is pre-trained on."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from metarl.core import Distribution, Predictor, Tasks
from metarl.devices import as_device
from metarl.losses import Samples
from metarl.ranges import Count, Range, Whole, checked
from metarl.tasks.image_classes import ImageClasses
from metarl.tasks.images import Picks, Warp, accuracy, gathered, warps, windows


class JointTasks(Tasks):
    """T batches of images with their true classes. Nothing is adapted to: there is no support."""

    def __init__(self, windows: Tensor, picks: Picks) -> None:
        self.n, self._batch = len(picks.places), gathered(windows, picks)

    def support(self, predict: Predictor, step: int) -> Samples:
        raise ValueError("joint classification has no support: train a learner whose steps are 0")

    def query(self, predict: Predictor) -> Samples:
        return self._batch

    def score(self, predict: Predictor) -> Tensor:
        """The share of the images that are classified rightly, [T]."""
        return accuracy(predict(self._batch.x), self._batch.y)


class Joint(Distribution):
    """Batches of `images` drawn from all classes, y the class's index.

    `shift` and `warp` are as in `metarl.tasks.images.Images`.
    """

    metric = "accuracy"

    @checked
    def __init__(
        self,
        classes: ImageClasses,
        *,
        images: Annotated[int, Range(2)] = 75,  # of a batch that is normalised by itself
        shift: Whole = 0,
        warp: Warp = 0.0,
        device: torch.device | str = "cpu",
    ) -> None:
        self.classes, self.images, self.device = classes, images, as_device(device)
        self.shift, self.warp = shift, warp
        self.windows = windows(classes.images.to(self.device), shift)

    def memory(self, n: int) -> int:
        return n * self.images * self.classes.bytes_of_one

    @checked
    def sample(self, n: Count, rng: np.random.Generator) -> JointTasks:
        places = rng.integers(self.classes.counts.sum(), size=(n, self.images))
        labels = np.searchsorted(self.classes.starts, places, side="right") - 1
        rows, columns = rng.integers(2 * self.shift + 1, size=(2, n, self.images))
        picks = Picks(*(torch.from_numpy(part).to(self.device) for part in (places, labels, rows, columns)))
        return JointTasks(self.windows, picks._replace(warps=warps(self.warp, picks.places, rng)))
