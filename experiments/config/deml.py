"""Settings of deep meta-learning, which also classifies external images (Zhou et al. 2018)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from metarl.algorithms.deml import DEML
from metarl.experiments.config.parts import OuterSettings
from metarl.experiments.config.settings import check_lrs
from metarl.ranges import NonNegative, Positive, Range
from metarl.run.checkpoint import Training
from metarl.tasks.datasets.folder import image_folder
from metarl.tasks.images import Images
from metarl.tasks.joint import Joint
from metarl.train import MetaTraining

if TYPE_CHECKING:
    from metarl.core import Learner


@dataclass(frozen=True)
class DEMLSettings(OuterSettings):
    """Deep meta-learning: the outer loop also trains the encoder to classify external images."""

    external: Annotated[str, tyro.conf.arg(name="external", prefix_name=False)] = ""
    """folder of external images, with a folder for each class; by default the training images of the tasks"""
    images: Annotated[int, Range(2, 100_000)] = 100
    """number of external images per iteration"""
    weight: NonNegative = 1.0
    """weight of the classification loss"""
    lr: Positive = 1e-3
    """learning rate of Adam in the outer loop"""
    lr_end: NonNegative = 0.0
    """learning rate at the end of training; it decreases linearly"""
    freeze: str = ""
    """start of the names of parameters that are not meta-learned"""

    def check_together(self) -> None:
        check_lrs(self.lr, self.lr_end)

    def training(self, config: Any, learner: Learner, distribution: Any, device: Any) -> Training:
        if not isinstance(distribution, Images):
            raise ValueError("deep meta-learning trains an encoder of images: give it tasks of images")
        _, channels, size, _ = distribution.classes.images.shape
        classes = distribution.classes
        if self.external:
            classes = image_folder(self.external, "train", size=size, grey=channels == 1)
        outer = DEML(
            learner, Joint(classes, images=self.images, device=device), weight=self.weight, lr=self.lr,
            lr_end=self.lr_end, iterations=config.iterations, freeze=self.freeze, chunk=config.chunk,
        )  # fmt: skip
        return MetaTraining(
            outer, distribution, iterations=config.iterations, meta_batch=config.meta_batch, seed=config.seed
        )
