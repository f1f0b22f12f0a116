"""Settings of learners that read a support through an encoder, without gradient steps: a line here lists each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from metarl.convnets import Conv4
from metarl.core import Distribution, Learner, Loss
from metarl.experiments.tasks import ImagesConfig, TaskConfig
from metarl.learners.graph import GNN
from metarl.learners.heads import LRD2, R2D2
from metarl.learners.matching import FullContext, MatchingNet
from metarl.learners.metric import ProtoNet, SiameseNet, verification
from metarl.learners.mixture import IMP
from metarl.learners.svm import MetaOptNet
from metarl.losses import cross_entropy


class Encoded(NamedTuple):
    """How a method is built from its encoder and the number of ways, and what it is trained by."""

    build: Callable[[Conv4, int], Learner]
    loss: Loss = cross_entropy


ENCODED = {
    "protonet": Encoded(lambda encoder, ways: ProtoNet(encoder, ways=ways)),
    "matching": Encoded(
        lambda encoder, ways: MatchingNet(encoder, ways=ways, full_context=FullContext(encoder.features))
    ),
    "siamese": Encoded(lambda encoder, ways: SiameseNet(encoder, ways=ways, features=encoder.features), verification),
    "imp": Encoded(lambda encoder, ways: IMP(encoder, ways=ways)),
    "gnn": Encoded(lambda encoder, ways: GNN(encoder, ways=ways, features=encoder.features)),
    "r2d2": Encoded(lambda encoder, ways: R2D2(encoder, ways=ways)),
    "lrd2": Encoded(lambda encoder, ways: LRD2(encoder, ways=ways)),
    "metaoptnet": Encoded(lambda encoder, ways: MetaOptNet(encoder, ways=ways)),
}


@dataclass(frozen=True)
class EncodedConfig:
    """A learner that reads the support through Conv4, without gradient steps."""

    method: str = "protonet"
    steps: ClassVar[int] = 1

    @property
    def words(self) -> str:
        """For `metarl list`."""
        return self.method

    def build(self, task: TaskConfig, distribution: Distribution) -> Learner:
        if not isinstance(task, ImagesConfig):
            raise ValueError(f"{self.method} classifies images: give it an image task")
        return self._method.build(task.encoder(distribution), task.ways)

    def loss(self, task: TaskConfig) -> Loss:
        return self._method.loss

    @property
    def _method(self) -> Encoded:
        if self.method not in ENCODED:
            raise ValueError(f"unknown method {self.method!r}: choose one of {', '.join(ENCODED)}")
        return ENCODED[self.method]
