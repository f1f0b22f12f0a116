"""Learners that cannot be, or cannot take what they are given: each call is refused in one line of ValueError."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from few_shot import FEATURES, HEADS, INPUTS, WAYS, cloud_episodes, learner_of
from torch import nn

from metarl.algorithms.alpha import AlphaLearner
from metarl.core import Episodes, Learner, meta_gradient
from metarl.learners.adam import Adam
from metarl.learners.baselines import FineTune, NearestNeighbour
from metarl.learners.bayesian import ALPaCA, gaussian_nll
from metarl.learners.cnp import CNP, CNPClassifier
from metarl.learners.context import CAVIA, Concatenated, FiLM
from metarl.learners.gradient import GradientLearner
from metarl.learners.graph import GNN
from metarl.learners.heads import LRD2, R2D2
from metarl.learners.implicit import IMAML
from metarl.learners.laplace import Headed, gaussian_roots, laplace, softmax_roots
from metarl.learners.learned_optimizer import LearnedOptimizer
from metarl.learners.lstm import LSTMClassifier
from metarl.learners.mann import MANN
from metarl.learners.matching import FullContext, MatchingNet
from metarl.learners.memory_module import MemoryModule
from metarl.learners.meta_lstm import MetaLSTM
from metarl.learners.meta_networks import MetaNet
from metarl.learners.metric import Comparison, ProtoNet, RelationNet, SiameseNet
from metarl.learners.mixture import IMP
from metarl.learners.mlp_optimizer import MLPOptimizer, StepRule
from metarl.learners.neural_statistician import NeuralStatistician
from metarl.learners.per_step import MAMLPlusPlus
from metarl.learners.snail import SNAIL
from metarl.learners.svm import MetaOptNet
from metarl.losses import Samples, cross_entropy, mse
from metarl.nets.conv4 import Conv4
from metarl.nets.mlp import MLP
from metarl.nets.normalisation import BatchNorm
from metarl.objectives import final

NAN, INF = float("nan"), float("inf")
SMALL = MLP(INPUTS, FEATURES, hidden=(4,))
GRADIENT = {  # every learner of a net and a loss
    "gradient": GradientLearner, "adam": Adam, "imaml": IMAML, "maml++": MAMLPlusPlus, "alpha": AlphaLearner,
    "meta-lstm": MetaLSTM, "learned optimizer": partial(LearnedOptimizer, hidden=2),
    "mlp optimizer": lambda net, loss, **k: MLPOptimizer(net, loss, StepRule(), **k),
    "cavia": lambda net, loss, **k: CAVIA(net, loss, context=2, **k),
}  # fmt: skip
READERS: dict[str, Callable[..., Learner]] = {  # every learner of an encoder
    "prototypes": ProtoNet, "mixture": IMP, "ridge": R2D2, "logistic": LRD2, "svm": MetaOptNet,
    "matching": MatchingNet, "memory module": MemoryModule, "nearest": NearestNeighbour,
    "siamese": partial(SiameseNet, features=FEATURES), "graph": partial(GNN, features=FEATURES),
    "relation": lambda net, **k: RelationNet(net, SMALL, **k), "cnp": partial(CNPClassifier, features=FEATURES),
    "lstm": partial(LSTMClassifier, features=FEATURES),
    "statistician": lambda net, **k: NeuralStatistician(net, SMALL, features=FEATURES, **k),
    "mann": partial(MANN, features=FEATURES), "snail": partial(SNAIL, features=FEATURES, shots=1),
    "meta networks": partial(MetaNet, features=FEATURES), "fine-tune": partial(FineTune, features=FEATURES, classes=9),
}  # fmt: skip
SETTINGS: dict[str, tuple[Callable[[], Any], str]] = {
    **{f"{name}: {what} as a net": (partial(make, net, mse), r"net is .*: give a Module")
       for name, make in GRADIENT.items() for what, net in (("text", "net"), ("a class", MLP))},
    **{f"{name}: no loss": (partial(make, SMALL, None), "loss is None: give a function")
       for name, make in GRADIENT.items()},
    **{f"{name}: steps {steps}": (partial(make, SMALL, mse, steps=steps), f"steps is {steps}: give a whole number from")
       for name, make in GRADIENT.items() for steps in (-1, 0.5, None)},
    **{f"{name}: a rate of {lr}": (partial(make, SMALL, mse, lr=lr), f"lr is {lr}: give a finite number")
       for name, make in GRADIENT.items() if "optimizer" not in name for lr in (0, -1, NAN, INF, None)},
    **{f"{name}: {ways} ways": (partial(make, SMALL, ways=ways), f"ways is {ways}: give a whole number from 2 up")
       for name, make in READERS.items() for ways in (1, -3, 2.5, None)},
    **{f"{name}: no encoder": (partial(make, 3, ways=2), "encoder is 3: give a Module")
       for name, make in READERS.items()},
    "no rates": (lambda: GradientLearner(SMALL, mse, lr=()), "lr is an empty sequence"),
    "a rate of NaN among others": (lambda: GradientLearner(SMALL, mse, lr=(0.1, NAN)), r"lr is \(0.1, nan\)"),
    "learned rates, one a step": (lambda: GradientLearner(SMALL, mse, learn_lr=True, lr=(1, 2)), "not a sequence"),
    "no such layer": (lambda: GradientLearner(SMALL, mse, adapt="layers.7"), "adapt is 'layers.7', but no"),
    "half a layer's name": (lambda: GradientLearner(SMALL, mse, adapt="lay"), "adapt is 'lay', but no"),
    "no head": (lambda: GradientLearner(nn.Linear(1, 1), mse, adapt="head"), "adapt is 'head', but no.*Linear has w"),
    "no parameters": (lambda: GradientLearner(nn.Flatten(), mse), "adapt is ''.*Flatten has none"),
    "no fast": (lambda: GradientLearner(SMALL, mse, adapt=None), "adapt is None: give a text"),
    "no layer for a rule": (lambda: MetaLSTM(SMALL, mse, adapt="haed"), "adapt is 'haed', but no"),
    "a decay of 1": (lambda: Adam(SMALL, mse, decay=1), "decay is 1: give a finite number from 0 and below 1"),
    "no ε": (lambda: Adam(SMALL, mse, epsilon=0), "epsilon is 0"),
    "a gate of 1": (lambda: MetaLSTM(SMALL, mse, lr=1), "lr is 1: give a finite number above 0 and below 1"),
    "no layers": (lambda: LearnedOptimizer(SMALL, mse, layers=0), "layers is 0"),
    "no scale": (lambda: LearnedOptimizer(SMALL, mse, scale=0), "scale is 0"),
    "no strength": (lambda: IMAML(SMALL, mse, strength=0), "strength is 0"),
    "no conjugate gradients": (lambda: IMAML(SMALL, mse, cg_steps=0), "cg_steps is 0"),
    "no context": (lambda: CAVIA(Concatenated(SMALL), mse, context=0), "context is 0"),
    "a net that is no net": (lambda: Concatenated(3), "net is 3: give a Module"),
    "a modulated MLP": (lambda: FiLM(SMALL, context=3), "net is of the type MLP: give a Conv4"),
    "a fifth block": (lambda: FiLM(Conv4(1, 5), context=3, block=4), "block is 4: the net has blocks 0 to 3"),
    "block -1": (lambda: FiLM(Conv4(1, 5), context=3, block=-1), "block is -1"),
    "no noise": (lambda: ALPaCA(SMALL, features=FEATURES, noise=0), "noise is 0"),
    "a standard deviation of 1": (lambda: CNP(SMALL, SMALL, features=FEATURES, least_std=1), "least_std is 1"),
    "features of no numbers": (lambda: SiameseNet(SMALL, ways=2, features=0), "features is 0"),
    "a graph of one channel": (lambda: GNN(SMALL, ways=2, features=FEATURES, hidden=1), "hidden is 1: .*from 2 up"),
    "a penalty of NaN": (lambda: R2D2(SMALL, ways=2, penalty=NAN), "penalty is nan"),
    "no iterations": (lambda: LRD2(SMALL, ways=2, iterations=0), "iterations is 0"),
    "no cost": (lambda: MetaOptNet(SMALL, ways=2, cost=0), "cost is 0"),
    "no variance": (lambda: IMP(SMALL, ways=2, variance=0), "variance is 0"),
    "no reads": (lambda: FullContext(FEATURES, reads=0), "reads is 0"),
    "a net for full context": (lambda: MatchingNet(SMALL, ways=2, full_context=SMALL), "type MLP: give a FullContext"),
    "fewer slots than heads": (lambda: MANN(SMALL, ways=2, features=FEATURES, slots=2), "4 heads write to 2 slots"),
    "a decay of 2": (lambda: MANN(SMALL, ways=2, features=FEATURES, decay=2), "decay is 2"),
    "no shots": (lambda: SNAIL(SMALL, ways=2, features=FEATURES, shots=0), "shots is 0"),
    "no attention": (lambda: SNAIL(SMALL, ways=2, features=FEATURES, shots=1, attention=()), "attention is empty"),
    "attention of no keys": (
        lambda: SNAIL(SMALL, ways=2, features=FEATURES, shots=1, attention=((0, 4),)), r"attention is \(\(0, 4\),\)"
    ),
    "maps too small to compare": (lambda: Comparison(4, 3), "feature maps of size 3 vanish"),
    "fine-tuning backwards": (
        lambda: FineTune(SMALL, ways=2, features=FEATURES, classes=9, iterations=-1), "iterations is -1"
    ),
    "one class": (lambda: FineTune(SMALL, ways=2, features=6, classes=1), "classes is 1"),
    "a head of nothing": (lambda: Headed(SMALL, features=6, outputs=0), "outputs is 0"),
    "no precision": (lambda: laplace(final(mse), softmax_roots, precision=0), "precision is 0"),
    "an infinite weight": (lambda: laplace(final(mse), softmax_roots, weight=INF), "weight is inf"),
    "no roots": (lambda: laplace(final(mse), 1.0), "roots is 1.0: give a function"),
    "no variance of targets": (lambda: gaussian_roots(0), "noise is 0"),
}  # fmt: skip


def labelled(episodes: Episodes, label: float) -> Episodes:
    """The episodes, one support label of each task another."""
    support = []
    for batch in episodes.support:
        y = batch.y.clone() if isinstance(label, int) else batch.y.float()
        y[:, 0] = label
        support.append(Samples(batch.x, y))
    return Episodes(tuple(support), episodes.query)


def judged(learner: Learner, episodes: Episodes, loss: Any = cross_entropy) -> None:
    meta_gradient(learner.double(), episodes, final(loss))


NARROW = cloud_episodes()._replace(support=tuple(Samples(b.x[..., 1:], b.y) for b in cloud_episodes().support))
DATA: dict[str, tuple[Callable[[], Any], str]] = {
    **{f"{name}: label {label}": (
           lambda name=name, label=label: judged(learner_of(name), labelled(cloud_episodes(), label)),
           r"cannot compute with support\[0\].x .*labels \(0 … classes − 1\)")
       for name in HEADS for label in (WAYS, -1, 0.5)},
    **{f"{name}: inputs of another size": (lambda name=name: judged(learner_of(name), NARROW), "the net takes")
       for name in HEADS},
    "gradient: labels out of range": (
        lambda: judged(GradientLearner(MLP(INPUTS, WAYS), cross_entropy), labelled(cloud_episodes(), WAYS)),
        "cannot compute with .*out of bounds.*labels",
    ),
    "features of another size": (
        lambda: judged(SiameseNet(MLP(INPUTS, 5), ways=WAYS, features=FEATURES), cloud_episodes()), "cannot compute"
    ),
    "an encoder of images": (lambda: judged(ProtoNet(Conv4(1, None), ways=WAYS), cloud_episodes()), "takes images"),
    "a context that does not fit": (
        lambda: judged(CAVIA(Concatenated(MLP(INPUTS, WAYS)), cross_entropy, context=3), cloud_episodes()),
        "the net takes",
    ),
    "a net without a context": (
        lambda: judged(CAVIA(MLP(INPUTS, WAYS), cross_entropy, context=3), cloud_episodes()),
        "CAVIA cannot compute with .*: MLP.forward",
    ),
    "no head to show": (
        lambda: meta_gradient(
            GradientLearner(MLP(INPUTS, WAYS), cross_entropy).double(), cloud_episodes(),
            laplace(final(cross_entropy), softmax_roots),
        ),
        "cannot compute with",
    ),
    "no steps for a volume": (
        lambda: meta_gradient(
            GradientLearner(Headed(SMALL, features=FEATURES, outputs=WAYS), cross_entropy, steps=0),
            cloud_episodes()._replace(support=()), laplace(final(cross_entropy), softmax_roots),
        ),
        "give the learner inner steps",
    ),
    "deviations for classes": (
        lambda: judged(ALPaCA(MLP(INPUTS, 4), features=4), cloud_episodes(), gaussian_nll), "cannot compute with"
    ),
}  # fmt: skip
CALLS = SETTINGS | DATA


@pytest.mark.parametrize("name", CALLS)
def test_it_is_refused_in_one_line(name: str) -> None:
    call, message = CALLS[name]
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def with_layer(layer: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Linear(INPUTS, WAYS), layer)


RUNNING = "keeps running statistics, .*: use metarl.nets.BatchNorm, or track_running_stats=False"


@pytest.mark.parametrize("name", [*GRADIENT, *READERS])
@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (nn.BatchNorm1d(WAYS), f"BatchNorm1d {RUNNING}"),
        (nn.InstanceNorm1d(WAYS, track_running_stats=True), f"InstanceNorm1d {RUNNING}"),
        (nn.Dropout(0.5), "Dropout draws a new mask whenever .*: leave it out, or put it in eval mode"),
    ],
    ids=["batch", "instance", "dropout"],
)
def test_layers_that_do_not_treat_tasks_alike_are_refused(name: str, layer: nn.Module, message: str) -> None:
    with pytest.raises(ValueError, match=f"{message}|torch computes a wrong second derivative"):
        GRADIENT[name](with_layer(layer), mse) if name in GRADIENT else READERS[name](with_layer(layer), ways=2)


@pytest.mark.parametrize("make", [lambda net: CAVIA(Concatenated(net), mse, context=2), lambda net: IMAML(net, mse)])
@pytest.mark.parametrize("layer", [nn.LayerNorm(WAYS), nn.BatchNorm1d(WAYS, track_running_stats=False)], ids=str)
def test_layers_whose_second_derivative_torch_gets_wrong_are_refused(make: Any, layer: nn.Module) -> None:
    with pytest.raises(ValueError, match=f"torch computes a wrong second derivative of {type(layer).__name__}, which"):
        make(with_layer(layer))


@pytest.mark.parametrize(
    "layer",
    [nn.BatchNorm1d(WAYS, track_running_stats=False), BatchNorm(WAYS), nn.Dropout(0.0), nn.LayerNorm(WAYS),
     nn.BatchNorm1d(WAYS).eval(), nn.Dropout(0.5).eval()],
    ids=["own statistics", "ours", "no dropout", "layer", "frozen", "dropout in eval mode"],
)  # fmt: skip
def test_layers_that_treat_tasks_alike_are_adapted_task_by_task(layer: nn.Module) -> None:
    learner, episodes = GradientLearner(with_layer(layer), cross_entropy, lr=0.3).double(), cloud_episodes()
    losses = learner(episodes, final(cross_entropy))
    for t, loss in enumerate(losses):
        alone = Episodes(*torch.utils._pytree.tree_map(lambda leaf, t=t: leaf[t : t + 1], tuple(episodes)))
        torch.testing.assert_close(learner(alone, final(cross_entropy))[0], loss)
