"""Ordinary classification of all classes at once: what a baseline of few-shot learning is pre-trained on."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from metarl.core import Distribution, Predictor, Tasks
from metarl.losses import Samples
from metarl.tasks.images import ImageClasses, Picks, check_warp, gathered, warps, windows


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
        return (predict(self._batch.x).argmax(-1) == self._batch.y).float().mean(1)


class Joint(Distribution):
    """Batches of `images` drawn from all classes, y the class's index.

    `shift` and `warp` are as in `metarl.tasks.images.Images`.
    """

    metric = "accuracy"

    def __init__(
        self,
        classes: ImageClasses,
        *,
        images: int = 75,
        shift: int = 0,
        warp: float = 0.0,
        device: torch.device | str = "cpu",
    ) -> None:
        check_warp(warp)
        if images < 2:
            raise ValueError(f"images is {images}: a batch that is normalised by itself takes 2 or more")
        self.classes, self.images, self.device = classes, images, torch.device(device)
        self.shift, self.warp = shift, warp
        self.windows = windows(classes.images.to(self.device), shift)

    def sample(self, n: int, rng: np.random.Generator) -> JointTasks:
        places = rng.integers(self.classes.counts.sum(), size=(n, self.images))
        labels = np.searchsorted(self.classes.starts, places, side="right") - 1
        rows, columns = rng.integers(2 * self.shift + 1, size=(2, n, self.images))
        picks = Picks(*(torch.from_numpy(part).to(self.device) for part in (places, labels, rows, columns)))
        return JointTasks(self.windows, picks._replace(warps=warps(self.warp, picks.places, rng)))
