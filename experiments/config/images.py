"""Settings of few-shot image classification."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import tyro

from metarl.core import Distribution
from metarl.experiments.config.parts import Given, TaskSettings
from metarl.experiments.config.settings import INCIDENTAL, MAX_ITERATIONS, METHOD_SETTING, Number
from metarl.losses import cross_entropy, squared_change
from metarl.nets.conv4 import Conv4
from metarl.nets.dense import Dense
from metarl.nets.resnet import ResNet12
from metarl.ranges import Range, UnitInterval
from metarl.tasks.datasets.folder import Split, image_folder
from metarl.tasks.datasets.miniimagenet import miniimagenet
from metarl.tasks.datasets.omniglot import omniglot
from metarl.tasks.images import ImageClasses, Images
from metarl.tasks.joint import Joint

DataSet = Literal["omniglot", "omniglot-small", "miniimagenet", "folder"]
Architecture = Literal["conv4", "mlp", "resnet12"]
Ways = Annotated[int, Range(2, 1000)]
ImageNet = Conv4 | Dense | ResNet12
FEW_SHOT = {"few_shot": True}
"""Marks a setting of few-shot tasks that does not apply to training on all classes at once."""


@dataclass(frozen=True)
class ImagesSettings(TaskSettings):
    """Few-shot classification of images: N-way K-shot tasks from the classes of a data set."""

    images: DataSet = "omniglot"
    """data set; omniglot-small: the two small background sets of Omniglot; folder: your own images in --data"""
    data: Annotated[str | None, tyro.conf.arg(name="data", prefix_name=False)] = field(
        default=None, metadata=INCIDENTAL
    )
    """folder of the data set; None: the environment variable METARL_DATA or, if it is not set, the user's cache"""
    ways: Ways = field(default=5, metadata=FEW_SHOT)
    """number of classes per task, N"""
    shots: Number = field(default=1, metadata=FEW_SHOT)
    """number of support images per class, K"""
    queries: Number = field(default=15, metadata=FEW_SHOT)
    """number of query images per class"""
    train_ways: Ways | None = field(default=None, metadata=FEW_SHOT | METHOD_SETTING)
    """number of classes per task in training, for learners without parameters for each class; None: `ways`"""
    train_shots: Number | None = field(default=None, metadata=FEW_SHOT | METHOD_SETTING)
    """number of support images per class in training; None: `shots`"""
    train_queries: Number | None = field(default=None, metadata=FEW_SHOT | METHOD_SETTING)
    """number of query images per class in training; None: `queries`"""
    architecture: Architecture = field(default="conv4", metadata=METHOD_SETTING)
    """network; conv4: four convolutions; mlp: fully connected, as in the MAML paper; resnet12: as in MetaOptNet"""
    filters: Annotated[int, Range(1, 1024)] = field(default=64, metadata=METHOD_SETTING)
    """number of filters of each convolution of conv4"""
    shift: Annotated[int, Range(0, 32)] = field(default=0, metadata=METHOD_SETTING)
    """data augmentation: maximum random shift of training images, in pixels"""
    warp: Annotated[float, Range(0, 0.3)] = field(default=0.0, metadata=METHOD_SETTING)
    """data augmentation: standard deviation of random rotations, scalings and shears of training images"""
    mirror: bool = field(default=False, metadata=METHOD_SETTING)
    """data augmentation: add the mirror images of each training class as another class"""
    same_alphabet: UnitInterval = field(default=0.0, metadata=FEW_SHOT | METHOD_SETTING)
    """fraction of training tasks in which all classes are from one alphabet"""
    pretraining: Annotated[int, Range(0, MAX_ITERATIONS)] = field(default=0, metadata=FEW_SHOT | METHOD_SETTING)
    """number of iterations in which the encoder is pre-trained on all training classes at once; 0: none"""
    joint: bool = field(default=False, metadata=METHOD_SETTING)
    """train on all classes at once instead of few-shot tasks, as the method finetune requires"""

    loss = staticmethod(cross_entropy)
    divergence = staticmethod(squared_change)

    def check_together(self) -> None:
        if self.data == "":
            raise ValueError("data is '': give a folder, or leave out --data")

    def check(self, config: Any) -> None:
        if self.train_ways and (config.learner.requires("net") or config.learner.requires("outputs")):
            raise ValueError(
                f"task.train_ways is {self.train_ways}, but this learner has a head with one output for each class: "
                "leave it out, so that training tasks have as many classes as test tasks"
            )

    def with_data(self, data: str | None) -> ImagesSettings:
        folder = self.data if data is None else data
        return self if folder is None else replace(self, data=os.path.abspath(folder))

    def joint_training(self, *, images: int) -> ImagesSettings:
        plain: dict[str, Any] = {f.name: f.default for f in fields(self) if f.metadata.get("few_shot")}
        return replace(self, **plain | {"ways": 5, "queries": images // 5}, joint=True)

    def distribution(self, device: torch.device, *, threads: int, split: Split) -> Images | Joint:
        train = split == "train"
        moves: dict[str, Any] = {"shift": self.shift, "warp": self.warp} if train else {}
        shots = self.train_shots if train and self.train_shots else self.shots
        queries = self.train_queries if train and self.train_queries else self.queries
        if train and self.joint:
            return Joint(self.classes(split), images=self.ways * queries, device=device, **moves)
        ways = self.train_ways if train and self.train_ways else self.ways
        return Images(
            self.classes(split), ways=ways, shots=shots, queries=queries,
            same_alphabet=self.same_alphabet if train else 0.0, device=device, **moves,
        )  # fmt: skip

    def classes(self, split: Split) -> ImageClasses:
        """The classes of a split, with their images. Raises ValueError if the data are missing or damaged."""
        data = None if self.data is None else Path(self.data)
        if self.images == "folder":
            if data is None:
                raise ValueError("task.images is folder: give the folder that contains the class folders by --data")
            classes = image_folder(data, split)
        elif self.images == "miniimagenet":
            classes = miniimagenet(data, split)
        else:
            classes = omniglot(data, split, protocol="small" if self.images == "omniglot-small" else "maml")
        return classes.mirrored() if self.mirror and split == "train" else classes

    def given(self, distribution: Distribution) -> Given:
        ways = distribution.ways if isinstance(distribution, Images) else self.ways  # there may be more in training
        encoder = cache(lambda: self.net(distribution, None))
        return {
            "net": lambda: self.net(distribution, self.ways), "outputs": lambda: self.ways, "encoder": encoder,
            "features": lambda: encoder().features, "loss": lambda: cross_entropy, "ways": lambda: ways,
            "shots": lambda: self.shots, "classes": lambda: len(self.classes("train")),
        }  # fmt: skip

    def net(self, distribution: Any, outputs: int | None) -> ImageNet:
        """A network from images to `outputs` numbers or, if None, to features."""
        channels, size, _ = distribution.classes.images.shape[1:]
        if self.architecture == "mlp":
            return Dense(channels, outputs, size=size)
        if self.architecture == "resnet12":
            return ResNet12(channels, outputs)
        return Conv4(channels, outputs, size=size, filters=self.filters, pool=size > 28)
