"""Learners that read a support without gradient steps: a line here lists each, by the tasks that it takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from torch import nn

from metarl.core import Distribution, Learner, Loss
from metarl.experiments.names import nearest
from metarl.experiments.settings import Part
from metarl.experiments.tasks import ImageNet, ImagesConfig, SinusoidConfig, TaskConfig, conv4
from metarl.learners.baselines import FineTune, NearestNeighbour
from metarl.learners.bayesian import ALPaCA, gaussian_nll
from metarl.learners.cnp import CNP, CNPClassifier
from metarl.learners.graph import GNN
from metarl.learners.heads import LRD2, R2D2
from metarl.learners.mann import MANN
from metarl.learners.matching import FullContext, MatchingNet
from metarl.learners.meta_networks import MetaNet
from metarl.learners.metric import Comparison, ProtoNet, RelationNet, SiameseNet, relation_mse, verification
from metarl.learners.mixture import IMP
from metarl.learners.snail import SNAIL
from metarl.learners.svm import MetaOptNet
from metarl.losses import cross_entropy
from metarl.nets.conv4 import Maps
from metarl.nets.mlp import MLP
from metarl.nets.normalisation import BatchNorm
from metarl.tasks.images import Images


class Encoded(NamedTuple):
    """How a method is built for a task and from its net, and what it is trained by."""

    build: Callable[[Any, Any], Learner]
    loss: Loss = cross_entropy


def relation(task: ImagesConfig, net: ImageNet) -> RelationNet:
    """Feature maps in place of Conv4's features, compared by convolutions."""
    net = conv4(net, "relation")
    maps = Maps(net.shape[0], size=net.shape[1], filters=task.filters, pool=net.pool)
    return RelationNet(maps, Comparison(task.filters, maps.side), ways=task.ways)


def spread(net: ImageNet) -> nn.Module:
    """Features far apart: a black box would first have to find the little in which untrained Conv4's differ."""
    return nn.Sequential(net, BatchNorm(net.features))


def finetune(task: ImagesConfig, net: ImageNet) -> FineTune:
    return FineTune(net, ways=task.ways, features=net.features, classes=len(task.classes("train")))


IMAGES: Mapping[str, Encoded] = {  # the net is without its last layer
    "protonet": Encoded(lambda task, net: ProtoNet(net, ways=task.ways)),
    "matching": Encoded(lambda task, net: MatchingNet(net, ways=task.ways, full_context=FullContext(net.features))),
    "siamese": Encoded(lambda task, net: SiameseNet(net, ways=task.ways, features=net.features), verification),
    "relation": Encoded(relation, relation_mse),
    "imp": Encoded(lambda task, net: IMP(net, ways=task.ways)),
    "gnn": Encoded(lambda task, net: GNN(net, ways=task.ways, features=net.features)),
    "r2d2": Encoded(lambda task, net: R2D2(net, ways=task.ways)),
    "lrd2": Encoded(lambda task, net: LRD2(net, ways=task.ways)),
    "metaoptnet": Encoded(lambda task, net: MetaOptNet(net, ways=task.ways)),
    "mann": Encoded(lambda task, net: MANN(spread(net), ways=task.ways, features=net.features)),
    "snail": Encoded(lambda task, net: SNAIL(net, ways=task.ways, features=net.features, shots=task.shots)),
    "meta-networks": Encoded(lambda task, net: MetaNet(net, ways=task.ways, features=net.features)),
    "cnp": Encoded(lambda task, net: CNPClassifier(net, ways=task.ways, features=net.features)),
    "finetune": Encoded(finetune),
    "nearest-neighbour": Encoded(lambda task, net: NearestNeighbour(ways=task.ways)),  # on pixels
}
SINUSOIDS: Mapping[str, Encoded] = {  # each has nets of its own
    "alpaca": Encoded(
        lambda task, net: ALPaCA(MLP(1, 32, hidden=(128, 128), activation="tanh"), features=32), gaussian_nll
    ),
    "cnp": Encoded(
        lambda task, net: CNP(MLP(2, 128, hidden=(128, 128)), MLP(129, 2, hidden=(128, 128)), features=128),
        gaussian_nll,
    ),
}


@dataclass(frozen=True)
class EncodedConfig(Part, path="learner"):
    """A learner that reads the support through a net, without gradient steps."""

    method: str = "protonet"

    @property
    def steps(self) -> int:
        """Inner steps in training."""
        return 0 if self.method == "finetune" else 1

    def build(self, task: TaskConfig, distribution: Distribution) -> Learner:
        method = self._method(task)
        net = None
        if isinstance(task, ImagesConfig):
            net = task.encoder(distribution)
            if isinstance(distribution, Images):
                task = replace(task, ways=distribution.ways)  # in training there may be more
        return method.build(task, net)

    def loss(self, task: TaskConfig) -> Loss:
        return self._method(task).loss

    def check(self, task: TaskConfig) -> None:
        """Raise ValueError where there is no such method for `task`."""
        self._method(task)

    def _method(self, task: TaskConfig) -> Encoded:
        methods = IMAGES if isinstance(task, ImagesConfig) else SINUSOIDS if isinstance(task, SinusoidConfig) else {}
        if self.method not in methods:
            hint = nearest(self.method, methods) if methods else "choose a method that makes gradient steps"
            kind = type(task).__name__.removesuffix("Config")
            raise ValueError(f"learner.method is {self.method!r}, none for tasks of the kind {kind}: {hint}")
        return methods[self.method]
