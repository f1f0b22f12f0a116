"""Meta networks: fast weights generated from gradients of the support loss (Munkhdalai and Yu 2017)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import grad, vmap
from torch.nn import functional

from metarl.learners.heads import with_ones
from metarl.learners.support import SupportLearner, Ways
from metarl.learners.update_rule import signals
from metarl.nets.recurrent import LSTMCell
from metarl.ranges import Count, checked


class Fast(NamedTuple):
    """The fast weights and keys generated from a support of n images."""

    embedding: Tensor  # Q*, [hidden, features + 1]
    keys: Tensor  # r', [n, hidden]
    first: Tensor  # W* of each image for the first layer, [n, hidden, features + 1]
    second: Tensor  # W* of each image for the second layer, [n, ways, hidden + 1]


class MetaNet(SupportLearner):
    """Meta networks: an embedding and a classifier with slow weights Q and W, and fast weights from the support.

    See Munkhdalai and Yu 2017, algorithm 1. The fast weights Q* of the embedding are computed by an LSTM (d) from the
    gradients of all support losses, separately for each weight. Each support image x' also has fast weights W* for the
    classifier, computed by an MLP (m) from its own gradient, and a key r' = u(f(x')). A query x uses the mean of W*
    weighted by softmax(cos(u(f(x)), r')). In a layer, the outputs of slow and fast weights are added, after ReLU or
    before the softmax. d and m are the same for all weights, and their inputs are (log|∇|/p, sgn ∇), or (−1, eᵖ∇) if
    |∇| < e⁻ᵖ, with p = 7.

    The embedding and the classifier are small nets on top of a shared encoder: one layer from `features` to `hidden`
    for the embedding, and two layers to `hidden` and to ways for the classifier. The loss of the embedding is a
    cross-entropy with an additional layer. Derivatives pass through the gradients.

    Args:
        hidden: hidden units of the embedding and the classifier
        rule: hidden units of d and m
    """

    @checked
    def __init__(
        self, encoder: nn.Module, *, ways: Ways, features: Count, hidden: Count = 64, rule: Count = 20
    ) -> None:
        super().__init__(encoder, ways=ways)
        shapes = (hidden, features + 1), (ways, hidden + 1)  # the last column is the bias
        self.embedding, self.base = (
            nn.ParameterList(nn.init.xavier_uniform_(torch.empty(shape)) for shape in shapes) for _ in range(2)
        )
        self.summary, self.summary_head = LSTMCell(2, rule), nn.Linear(rule, 1)  # d
        self.rule = nn.Sequential(nn.Linear(2, rule), nn.ReLU(), nn.Linear(rule, 1))  # m

    def read(self, features: Tensor, labels: Tensor) -> Fast:
        gradients = support_gradients(tuple(self.embedding), features, labels)[0]
        summed = self.summary.run(signals(gradients).flatten(1, 2))[-1]  # [weights, rule]
        embedding = self.summary_head(summed).view_as(self.embedding[0])
        first, second = (
            self.rule(signals(g)).squeeze(-1) for g in support_gradients(tuple(self.base), features, labels)
        )
        return Fast(embedding, self.embed(features, embedding), first, second)

    def embed(self, features: Tensor, fast: Tensor) -> Tensor:
        """The embedding u, from features [n, features] to [n, hidden]."""
        x = with_ones(features)
        return torch.relu(x @ self.embedding[0].T) + torch.relu(x @ fast.T)

    def logits(self, state: Fast, features: Tensor) -> Tensor:
        embedded = functional.normalize(self.embed(features, state.embedding), dim=1, eps=1e-6)
        attention = (embedded @ functional.normalize(state.keys, dim=1, eps=1e-6).T).softmax(1)  # [m, n]
        x = with_ones(features)
        x = with_ones(torch.relu(x @ self.base[0].T) + torch.relu(mixed(attention, state.first, x)))
        return x @ self.base[1].T + mixed(attention, state.second, x)


def mixed(attention: Tensor, weights: Tensor, x: Tensor) -> Tensor:
    """(Σ_n attention_mn W_n) x_m, [m, outputs], for weights W [n, outputs, inputs]."""
    return (attention[:, None] @ torch.einsum("noi,mi->mno", weights, x)).squeeze(1)


def support_gradients(weights: tuple[Tensor, ...], features: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
    """The gradients of each image's cross-entropy with respect to both layers of a net, [n, *weight] each."""

    def loss(weights: tuple[Tensor, ...], x: Tensor, y: Tensor) -> Tensor:
        hidden = torch.relu(weights[0] @ with_ones(x))
        return -(y * (weights[1] @ with_ones(hidden)).log_softmax(0)).sum()

    return vmap(grad(loss), in_dims=(None, 0, 0))(weights, features, labels)
