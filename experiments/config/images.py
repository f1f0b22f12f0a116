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
from metarl.experiments.config.settings import FREE, LAST, METHODS_OWN, Number
from metarl.losses import cross_entropy, squared_change
from metarl.nets.conv4 import Conv4
from metarl.nets.dense import Dense
from metarl.nets.resnet import ResNet12
from metarl.ranges import Range, UnitInterval
from metarl.tasks.folder import Split, image_folder
from metarl.tasks.images import ImageClasses, Images
from metarl.tasks.joint import Joint
from metarl.tasks.miniimagenet import miniimagenet
from metarl.tasks.omniglot import omniglot

DataSet = Literal["omniglot", "omniglot-small", "miniimagenet", "folder"]
Architecture = Literal["conv4", "mlp", "resnet12"]
Ways = Annotated[int, Range(2, 1000)]
ImageNet = Conv4 | Dense | ResNet12
FEW_SHOT = {"few_shot": True}
"""Marks a setting of few-shot tasks alone, which training on all classes at once has no use for."""


@dataclass(frozen=True)
class ImagesSettings(TaskSettings):
    """Few-shot classification of images."""

    images: DataSet = "omniglot"
    """omniglot-small: the authors' small sets, whole alphabets held out; folder: class folders in --data"""
    data: Annotated[str | None, tyro.conf.arg(name="data", prefix_name=False)] = field(default=None, metadata=FREE)
    """the folder of the data; None: METARL_DATA, or the user's cache"""
    ways: Ways = field(default=5, metadata=FEW_SHOT)
    """N, classes a task"""
    shots: Number = field(default=1, metadata=FEW_SHOT)
    """K, support images a class"""
    queries: Number = field(default=15, metadata=FEW_SHOT)
    """query images a class"""
    train_ways: Ways | None = field(default=None, metadata=FEW_SHOT | METHODS_OWN)
    """classes a task in training, where they differ: for methods that have no parameters for each class"""
    train_shots: Number | None = field(default=None, metadata=FEW_SHOT | METHODS_OWN)
    """support images a class in training, where they differ"""
    train_queries: Number | None = field(default=None, metadata=FEW_SHOT | METHODS_OWN)
    """query images a class in training, where they differ"""
    architecture: Architecture = field(default="conv4", metadata=METHODS_OWN)
    """mlp: MAML's without convolutions; resnet12: MetaOptNet's"""
    filters: Annotated[int, Range(1, 1024)] = field(default=64, metadata=METHODS_OWN)
    """of each convolution of Conv4"""
    shift: Annotated[int, Range(0, 32)] = field(default=0, metadata=METHODS_OWN)
    """pixels that training images are moved by, at most: an augmentation"""
    warp: Annotated[float, Range(0, 0.3)] = field(default=0.0, metadata=METHODS_OWN)
    """how far training images are turned, scaled and sheared: an augmentation, 0.1 is some degrees and a tenth"""
    mirror: bool = field(default=False, metadata=METHODS_OWN)
    """mirror images are further classes to train on: an augmentation"""
    same_alphabet: UnitInterval = field(default=0.0, metadata=FEW_SHOT | METHODS_OWN)
    """share of training tasks whose classes are all of one alphabet"""
    pretraining: Annotated[int, Range(0, LAST)] = field(default=0, metadata=FEW_SHOT | METHODS_OWN)
    """iterations in which the encoder learns all training classes at once, before few-shot tasks"""
    joint: bool = field(default=False, metadata=METHODS_OWN)
    """train on all classes at once, not on few-shot tasks (for finetune)"""

    loss = staticmethod(cross_entropy)
    divergence = staticmethod(squared_change)

    def check_together(self) -> None:
        if self.data == "":
            raise ValueError("data is '': give a folder, or leave it out")

    def check(self, config: Any) -> None:
        if self.train_ways and (config.learner.asks_for("net") or config.learner.asks_for("outputs")):
            raise ValueError(
                f"task.train_ways is {self.train_ways}, but this learner's head has an output a way: leave it "
                "out, training has the ways of tests"
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
        """The images of a split."""
        data = None if self.data is None else Path(self.data)
        if self.images == "folder":
            if data is None:
                raise ValueError("task.images is folder: say which folder of class folders by --data")
            classes = image_folder(data, split)
        elif self.images == "miniimagenet":
            classes = miniimagenet(data, split)
        else:
            classes = omniglot(data, split, protocol="small" if self.images == "omniglot-small" else "maml")
        return classes.mirrored() if self.mirror and split == "train" else classes

    def given(self, distribution: Distribution) -> Given:
        ways = distribution.ways if isinstance(distribution, Images) else self.ways  # in training there may be more
        encoder = cache(lambda: self.net(distribution, None))
        return {
            "net": lambda: self.net(distribution, self.ways), "outputs": lambda: self.ways, "encoder": encoder,
            "features": lambda: encoder().features, "loss": lambda: cross_entropy, "ways": lambda: ways,
            "shots": lambda: self.shots, "classes": lambda: len(self.classes("train")),
        }  # fmt: skip

    def net(self, distribution: Any, outputs: int | None) -> ImageNet:
        """The net from images to so many outputs, or, with None, to features."""
        channels, size, _ = distribution.classes.images.shape[1:]
        if self.architecture == "mlp":
            return Dense(channels, outputs, size=size)
        if self.architecture == "resnet12":
            return ResNet12(channels, outputs)
        return Conv4(channels, outputs, size=size, filters=self.filters, pool=size > 28)
