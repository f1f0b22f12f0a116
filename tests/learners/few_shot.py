"""Few-shot tasks that are easy once a net has learned what to look at, and every learner that reads a support."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from metarl.core import Distribution, Episodes, Loss, Predictor, Tasks
from metarl.learners.graph import GNN
from metarl.learners.heads import LRD2, R2D2
from metarl.learners.matching import FullContext, MatchingNet
from metarl.learners.metric import ProtoNet, RelationNet, SiameseNet, relation_mse, verification
from metarl.learners.mixture import IMP
from metarl.learners.support import SupportLearner
from metarl.learners.svm import MetaOptNet
from metarl.losses import Samples, cross_entropy
from metarl.nets.mlp import MLP

WAYS, INPUTS, FEATURES = 3, 8, 6
HEADS: dict[str, Callable[[MLP], SupportLearner]] = {
    "prototypes": lambda net: ProtoNet(net, ways=WAYS),
    "siamese": lambda net: SiameseNet(net, ways=WAYS, features=FEATURES),
    "relation": lambda net: RelationNet(net, MLP(2 * FEATURES, 1, hidden=(32,)), ways=WAYS),
    "matching": lambda net: MatchingNet(net, ways=WAYS),
    "full context": lambda net: MatchingNet(net, ways=WAYS, full_context=FullContext(FEATURES, reads=2)),
    "mixture": lambda net: IMP(net, ways=WAYS, variance=1.0),
    "graph": lambda net: GNN(net, ways=WAYS, features=FEATURES, hidden=16, layers=1),
    "ridge": lambda net: R2D2(net, ways=WAYS),
    "logistic": lambda net: LRD2(net, ways=WAYS),
    "svm": lambda net: MetaOptNet(net, ways=WAYS),
}
LOSSES: dict[str, Loss] = {"siamese": verification, "relation": relation_mse}


def learner_of(name: str, *, seed: int = 0) -> SupportLearner:
    torch.manual_seed(seed)
    return HEADS[name](MLP(INPUTS, FEATURES, hidden=(10,), activation="tanh"))


def loss_of(name: str) -> Loss:
    return LOSSES.get(name, cross_entropy)


class CloudTasks(Tasks):
    def __init__(self, support: Samples, query: Samples) -> None:
        self.n, self._support, self._query = len(support.x), support, query

    def support(self, predict: Predictor, step: int) -> Samples:
        return self._support

    def query(self, predict: Predictor) -> Samples:
        return self._query

    def score(self, predict: Predictor) -> Tensor:
        return (predict(self._query.x).argmax(-1) == self._query.y).float().mean(1)


class Clouds(Distribution):
    """Three clouds of points around centres in the first 3 of 8 numbers; the other 5 are strong noise."""

    metric = "accuracy"

    def __init__(self, *, shots: int = 2, queries: int = 4) -> None:
        self.shots, self.queries = shots, queries

    def sample(self, n: int, rng: np.random.Generator) -> CloudTasks:
        centres = rng.normal(size=(n, WAYS, 3))

        def batch(each: int) -> Samples:
            labels = rng.permuted(np.broadcast_to(np.arange(WAYS * each) % WAYS, (n, WAYS * each)), axis=1)
            place = np.take_along_axis(centres, labels[..., None], 1) + 0.1 * rng.normal(size=(n, WAYS * each, 3))
            x = np.concatenate([place, 2 * rng.normal(size=(n, WAYS * each, INPUTS - 3))], 2)
            return Samples(torch.from_numpy(x.astype(np.float32)), torch.from_numpy(labels))

        return CloudTasks(batch(self.shots), batch(self.queries))


def cloud_episodes(*, tasks: int = 3, seed: int = 0, shots: int = 2) -> Episodes:
    """Float64 episodes of clouds, one support each."""
    drawn = Clouds(shots=shots).sample(tasks, np.random.default_rng(seed))
    support, query = (Samples(batch.x.double(), batch.y) for batch in (drawn._support, drawn._query))
    return Episodes((support,), query)
