"""Functions that build the learners and outer loops of presets which need more than a call of a constructor.

Positional arguments are provided by the task (for learners) or by the run (for outer loops). Keyword arguments are the
settings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import nn

from metarl.algorithms.descent import Descent
from metarl.core import Learner, Loss
from metarl.learners.baselines import NearestNeighbour
from metarl.learners.bayesian import ALPaCA
from metarl.learners.cnp import CNP
from metarl.learners.context import CAVIA, Concatenated, FiLM
from metarl.learners.gradient import GradientLearner
from metarl.learners.laplace import Headed, laplace, softmax_roots
from metarl.learners.lstm import LSTMClassifier, LSTMRegressor
from metarl.learners.mann import MANN
from metarl.learners.matching import FullContext, MatchingNet
from metarl.learners.metric import Comparison, RelationNet
from metarl.learners.mlp_optimizer import MLPOptimizer, StepRule
from metarl.learners.neural_statistician import NeuralStatistician
from metarl.nets.conv4 import Conv4, FeatureMaps
from metarl.nets.dense import Dense
from metarl.nets.mlp import MLP
from metarl.nets.normalisation import BatchNorm
from metarl.objectives import final, learner_loss, multi_step
from metarl.ranges import Count, NonNegative, Positive, Whole, checked


@checked
def image_cavia(
    net: nn.Module, loss: Loss, *, context: Count = 100, steps: Whole = 2, lr: Positive = 1.0,
    rematerialise: bool = False,
) -> CAVIA:  # fmt: skip
    """CAVIA whose context modulates Conv4's third block (Zintgraf et al. 2019, section 4.2).

    Args:
        context: size of the context vector
        steps: number of inner steps in training
        lr: inner learning rate
        rematerialise: recompute inner steps in the backward pass: memory grows with √steps, and time by about a third
    """
    film = FiLM(_conv4(net, "cavia"), context=context)
    return CAVIA(film, loss, context=context, steps=steps, lr=lr, rematerialise=rematerialise)


@checked
def sinusoid_cavia(
    loss: Loss, widths: Sequence[Count], *, context: Count = 5, steps: Whole = 1, lr: Positive = 1.0,
    rematerialise: bool = False,
) -> CAVIA:  # fmt: skip
    """CAVIA whose context is an additional input of an MLP (Zintgraf et al. 2019, section 4.1).

    Args:
        context: size of the context vector
        steps: number of inner steps in training
        lr: inner learning rate
        rematerialise: recompute inner steps in the backward pass: memory grows with √steps, and time by about a third
    """
    net = Concatenated(MLP(1 + context, 1, hidden=widths))
    return CAVIA(net, loss, context=context, steps=steps, lr=lr, rematerialise=rematerialise)


@checked
def headed(
    encoder: nn.Module, loss: Loss, features: Count, outputs: Count, *, steps: Whole = 1,
    lr: Sequence[Positive] = (0.1,), rematerialise: bool = False,
) -> GradientLearner:  # fmt: skip
    """MAML with a network that also returns its features, which Laplace's approximation needs (Grant et al. 2018).

    Args:
        steps: number of inner steps in training
        lr: inner learning rate, or one for each step; the last holds for further steps
        rematerialise: recompute inner steps in the backward pass: memory grows with √steps, and time by about a third
    """
    net = Headed(encoder, features=features, outputs=outputs)
    return GradientLearner(net, loss, steps=steps, lr=lr, rematerialise=rematerialise)


@checked
def concept_learner(
    encoder: nn.Module, loss: Loss, features: Count, outputs: Count, *, steps: Whole = 5, lr: Positive = 0.1
) -> GradientLearner:
    """Meta-SGD on the features of an encoder, which the inner loop does not adapt (Zhou et al. 2018).

    Args:
        steps: number of inner steps
        lr: initial value of the learned inner learning rates
    """
    net = Headed(encoder, features=features, outputs=outputs)
    return GradientLearner(net, loss, steps=steps, lr=lr, learn_lr=True, adapt="head")


def matching(encoder: nn.Module, ways: int, features: int) -> MatchingNet:
    """Matching networks with full context embeddings (Vinyals et al. 2016)."""
    return MatchingNet(encoder, ways=ways, full_context=FullContext(features))


@checked
def nearest_pixels(ways: Count) -> NearestNeighbour:
    """Nearest-neighbour classification by the squared distance between pixels."""
    return NearestNeighbour(ways=ways)


@checked
def relation(encoder: nn.Module, ways: Count, *, hidden: Count = 8) -> RelationNet:
    """Relation networks, which compare the feature maps of Conv4 by convolutions (Sung et al. 2018).

    Args:
        hidden: number of units of the last hidden layer
    """
    net = _conv4(encoder, "relation")
    filters = len(net.get_parameter("blocks.0.norm.weight"))
    maps = FeatureMaps(net.shape[0], size=net.shape[1], filters=filters, pool=net.pool)
    return RelationNet(maps, Comparison(filters, maps.side, hidden=hidden), ways=ways)


@checked
def sinusoid_lstm(loss: Loss, *, hidden: Count = 128) -> LSTMRegressor:
    """An LSTM that reads the support points of a sinusoid and then predicts (Hochreiter et al. 2001).

    Args:
        hidden: number of hidden units of the LSTM
    """
    return LSTMRegressor(loss, hidden=hidden)


@checked
def image_lstm(encoder: nn.Module, ways: Count, features: Count, *, hidden: Count = 200) -> LSTMClassifier:
    """An LSTM that reads the support and then classifies the query, on normalised features (Santoro et al. 2016).

    Args:
        hidden: number of hidden units of the LSTM
    """
    return LSTMClassifier(nn.Sequential(encoder, BatchNorm(features)), ways=ways, features=features, hidden=hidden)


@checked
def mlp_optimizer(
    net: nn.Module, loss: Loss, *, steps: Whole = 20, lr: Positive = 0.01, hidden: Sequence[Count] = (16, 16),
    adapt: str = "",
) -> MLPOptimizer:  # fmt: skip
    """A learned optimiser that corrects Adam, trained together with the initial parameters (Metz et al. 2022).

    Args:
        steps: number of inner steps
        lr: learning rate of Adam, with which the update rule begins
        hidden: number of units of each hidden layer of the update rule
        adapt: start of the names of the parameters that are adapted; empty: all; head: the last layer
    """
    return MLPOptimizer(net, loss, StepRule(lr=lr, hidden=hidden), steps=steps, adapt=adapt)


@checked
def mann(
    encoder: nn.Module, ways: Count, features: Count, *, controller: Count = 200, slots: Count = 128, width: Count = 40
) -> MANN:
    """A memory-augmented neural network (Santoro et al. 2016).

    The features are normalised, because an untrained Conv4 maps all images to similar features.

    Args:
        controller: number of units of the LSTM that controls the memory
        slots: number of rows of the memory
        width: size of a row of the memory
    """
    normalised = nn.Sequential(encoder, BatchNorm(features))
    return MANN(normalised, ways=ways, features=features, controller=controller, slots=slots, width=width)


@checked
def neural_statistician(
    encoder: nn.Module, ways: Count, features: Count, *, context: Count = 64, latent: Count = 16,
    hidden: Sequence[Count] = (128,), decoder: Sequence[Count] = (256, 256),
) -> NeuralStatistician:  # fmt: skip
    """A neural statistician that reconstructs images by an MLP (Edwards and Storkey 2017).

    Args:
        context: size of the context vector of a class
        latent: size of the latent variable of an image
        hidden: number of units of each hidden layer of the statistic network, of q(z|x, c) and of p(z|c)
        decoder: number of units of each hidden layer of the decoder
    """
    if not isinstance(encoder, Conv4 | Dense):
        raise ValueError("neural-statistician needs images of one size: train it with --task.architecture conv4 or mlp")
    images = MLP(context + latent, math.prod(encoder.shape), hidden=decoder)
    return NeuralStatistician(
        encoder, images, ways=ways, features=features, context=context, latent=latent, hidden=hidden
    )


@checked
def alpaca(*, encoding: Count = 32, hidden: Sequence[Count] = (128, 128), noise: Positive = 0.02) -> ALPaCA:
    """ALPaCA on a sinusoid: Bayesian linear regression on learned features (Harrison et al. 2018).

    Args:
        encoding: number of features of an input
        hidden: number of units of each hidden layer of the encoder
        noise: variance of the noise of observations
    """
    return ALPaCA(MLP(1, encoding, hidden=hidden, activation="tanh"), features=encoding, noise=noise)


@checked
def cnp(*, encoding: Count = 128, hidden: Sequence[Count] = (128, 128)) -> CNP:
    """A conditional neural process on a sinusoid (Garnelo et al. 2018).

    Args:
        encoding: size of the encoding of a support point
        hidden: number of units of each hidden layer of the encoder and of the decoder
    """
    return CNP(MLP(2, encoding, hidden=hidden), MLP(encoding + 1, 2, hidden=hidden), features=encoding)


@checked
def empirical_bayes(
    learner: Learner, iterations: Count, chunk: Count | None, *, lr: Positive = 1e-3, lr_end: NonNegative = 1e-3,
    weight: NonNegative = 1e-6, step_weights: Sequence[NonNegative] = (), freeze: str = "",
) -> Descent:  # fmt: skip
    """MAML as empirical Bayes: Laplace's approximation at the adapted head adds to the query loss (Grant et al. 2018).

    Args:
        lr: learning rate of Adam in the outer loop
        lr_end: learning rate at the end of training; it changes linearly
        weight: weight of the log-determinant of the curvature
        step_weights: weights of the query losses after each inner step; empty: only the loss after the last step
        freeze: start of the names of parameters that are not trained, such as net.head
    """
    loss = learner_loss(learner)
    objective = multi_step(loss, step_weights) if step_weights else final(loss)
    return Descent(
        learner, laplace(objective, softmax_roots, weight=weight), lr=lr, lr_end=lr_end, iterations=iterations,
        freeze=freeze, chunk=chunk,
    )  # fmt: skip


def _conv4(net: nn.Module, method: str) -> Conv4:
    if not isinstance(net, Conv4):
        raise ValueError(f"{method} needs the layers of Conv4: train it with --task.architecture conv4")
    return net
