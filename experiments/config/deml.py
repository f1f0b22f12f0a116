"""Settings of deep meta-learning, whose encoder also learns to classify external images (Zhou et al. 2018)."""

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
    """Deep meta-learning: the outer loop trains the encoder on few-shot tasks and to classify external images."""

    external: Annotated[str, tyro.conf.arg(name="external", prefix_name=False)] = ""
    """folder of external images, with one folder for each class; empty: the training images of the tasks"""
    images: Annotated[int, Range(2, 100_000)] = 100
    """number of external images that are classified in each iteration"""
    weight: NonNegative = 1.0
    """weight of the classification loss, which is added to the meta-learning loss"""
    lr: Positive = 1e-3
    """learning rate of Adam in the outer loop"""
    lr_end: NonNegative = 0.0
    """learning rate at the end of training; it decreases linearly"""
    freeze: str = ""
    """start of the names of parameters of the learner that are not trained, such as net.head"""

    def check_together(self) -> None:
        check_lrs(self.lr, self.lr_end)

    def training(self, config: Any, learner: Learner, distribution: Any, device: Any) -> Training:
        if not isinstance(distribution, Images):
            raise ValueError(
                "algorithm is DEML, which trains an encoder of images, but these tasks have no images: choose another "
                "algorithm"
            )
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
