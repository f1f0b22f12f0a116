"""The neural statistician: a class is a Gaussian context inferred from a set of images (Edwards and Storkey 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from metarl.algorithms.variational import Noisy
from metarl.core import Predict
from metarl.learners.support import SupportLearner, Ways, class_means, one_hot
from metarl.nets.mlp import MLP
from metarl.ranges import Count, checked


class Gaussian(NamedTuple):
    """Gaussian distributions with diagonal covariances: means and logarithms of variances, [..., d] each."""

    mean: Tensor
    log_var: Tensor

    def sample(self, noise: Tensor) -> Tensor:
        """Samples [..., d]: the mean plus the standard deviation times standard normal `noise` [..., d]."""
        return self.mean + (0.5 * self.log_var).exp() * noise


def negative_bound(predict: Predict, batch: Any) -> Tensor:
    """Minus the variational bound of a `Noisy` batch, in nats per image."""
    if not isinstance(batch, Noisy):
        raise ValueError("the variational bound needs noise with each query: train this learner by VariationalDescent")
    bound: Tensor = predict(batch)
    return -bound


class NeuralStatistician(SupportLearner):
    """A generative model of sets of images of one class: context c → latent z of each image → image x.

    See Edwards and Storkey 2017. The `encoder` f and an MLP, the statistic network, infer q(c|D) from the mean features
    of the images in D, in any order (section 3.2.1). Further MLPs are q(z|x, c), from f(x) and c, and p(z|c); p(c) is
    standard normal, and the `decoder` maps [n, context + latent], rows (c, z), to logits of p(x|z, c), in which grey
    values from 0 to 1 are probabilities. All q and p(z|c) are Gaussians with diagonal covariances.

    The support gives the context posterior q(c|D_k) of each class, which is the state. The logit of class k for a query
    x is −KL(q(c|D_k) ‖ q(c|x)) (section 4.3). Labels are only used to form sets. The loss is minus the bound

    Σ_k { Σ_{x of k} E[log p(x|z, c) − KL(q(z|x, c) ‖ p(z|c))] − KL(q(c|D_k) ‖ p(c)) }

    on the query, divided by the number of images; each expectation is one sample (`VariationalDescent`). This is a
    reduced version: the paper has several layers of z (here one) and convolutional decoders, the number of images is a
    further input of its statistic network, and c is inferred from the images that are to be generated, a random part of
    which is left out. Here c is inferred from the support, and the images of the query are generated; the bound holds
    for any q(c).

    Args:
        context: size of the context vector c of a class
        latent: size of the latent variable z of an image
        hidden: number of units of each hidden layer of the statistic network, of q(z|x, c) and of p(z|c)
    """

    loss = staticmethod(negative_bound)

    @checked
    def __init__(
        self, encoder: nn.Module, decoder: nn.Module, *, ways: Ways, features: Count, context: Count = 64,
        latent: Count = 16, hidden: Sequence[Count] = (128,),
    ) -> None:  # fmt: skip
        super().__init__(encoder, ways=ways)
        self.decoder, self.context, self.noise = decoder, context, context + latent
        self.statistic = MLP(features, 2 * context, hidden=hidden)
        self.posterior = MLP(features + context, 2 * latent, hidden=hidden)  # q(z|x, c)
        self.prior = MLP(context, 2 * latent, hidden=hidden)  # p(z|c)

    def read(self, features: Tensor, labels: Tensor) -> Gaussian:
        return gaussian(self.statistic(class_means(features, labels)))

    def logits(self, state: tuple[Tensor, Tensor], features: Tensor) -> Tensor:
        query = gaussian(self.statistic(features))
        return -divergence(Gaussian(*state), Gaussian(query.mean[:, None], query.log_var[:, None]))

    def predict(self, state: tuple[Tensor, ...], x: Any) -> Tensor:
        """The logits [m, ways] of a query [m, …] or, for a `Noisy` query, the variational bound in nats per image."""
        return self.bound(Gaussian(*state), x) if isinstance(x, Noisy) else super().predict(state, x)

    def bound(self, contexts: Gaussian, batch: Noisy) -> Tensor:
        """The variational bound of one task's query, in nats per image, for the context posteriors [ways, context]."""
        features = self.encoder(batch.x)
        labels = one_hot(batch.y, like=features.new_empty(len(features), len(contexts.mean)))
        counts = labels.sum(0).clamp(min=1)
        noise = labels.T @ batch.noise[:, : self.context] / counts.sqrt()[:, None]  # standard normal, for each class
        c = labels @ contexts.sample(noise)
        posterior, prior = gaussian(self.posterior(torch.cat([features, c], 1))), gaussian(self.prior(c))
        z = posterior.sample(batch.noise[:, self.context :])
        pixels = self.decoder(torch.cat([c, z], 1))
        likelihood = -functional.binary_cross_entropy_with_logits(pixels, batch.x.flatten(1), reduction="none").sum(1)
        standard = Gaussian(torch.zeros_like(contexts.mean), torch.zeros_like(contexts.mean))
        total = (likelihood - divergence(posterior, prior)).sum() - divergence(contexts, standard).sum()
        return total / len(features)


def gaussian(outputs: Tensor) -> Gaussian:
    """The Gaussians whose means and logarithms of variances are the two halves of `outputs` [..., 2·d]."""
    return Gaussian(*outputs.chunk(2, dim=-1))


def divergence(p: Gaussian, q: Gaussian) -> Tensor:
    """KL(p ‖ q) in nats, […]."""
    scaled = (p.log_var - q.log_var).exp() + (p.mean - q.mean).square() * (-q.log_var).exp()
    return 0.5 * (scaled - 1 - p.log_var + q.log_var).sum(-1)
