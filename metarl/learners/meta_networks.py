"""Meta networks: fast weights made from the gradients of the support's losses (Munkhdalai & Yu 2017)."""

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
    """What the support of n images made."""

    embedding: Tensor  # Q*, [hidden, features + 1]
    keys: Tensor  # r', [n, hidden]
    first: Tensor  # W* of each image, [n, hidden, features + 1]
    second: Tensor  # [n, ways, hidden + 1]


class MetaNet(SupportLearner):
    """Slow weights Q of an embedding and W of a classifier, each with fast ones (Munkhdalai & Yu 2017, algorithm 1).

    The embedding's fast weights Q* come from the gradients of all support losses, weight by weight through an LSTM (d).
    Each support image x' also has fast weights W* for the classifier, made of its own gradient by an MLP (m), under the
    key r' = u(f(x')); a query x takes their mean by softmax(cos(u(f(x)), r')). In an augmented layer slow and fast
    weights have an output each; these are added after their ReLU, or before the softmax. Both rules have `rule` hidden
    units, are the same for all weights, and see (log|∇|/p, sgn ∇), or (−1, eᵖ∇) where |∇| < e⁻ᵖ, with p = 7.

    The networks that are augmented are small ones on an encoder that they share: `features` to `hidden` for the
    embedding, and on to ways for the classifier. The embedding's loss is a cross-entropy through a layer of its own.
    Derivatives pass through the gradients.
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
        """u: features [n, features] to [n, hidden]."""
        x = with_ones(features)
        return torch.relu(x @ self.embedding[0].T) + torch.relu(x @ fast.T)

    def logits(self, state: Fast, features: Tensor) -> Tensor:
        embedded = functional.normalize(self.embed(features, state.embedding), dim=1, eps=1e-6)
        shares = (embedded @ functional.normalize(state.keys, dim=1, eps=1e-6).T).softmax(1)  # [m, n]
        x = with_ones(features)
        x = with_ones(torch.relu(x @ self.base[0].T) + torch.relu(mixed(shares, state.first, x)))
        return x @ self.base[1].T + mixed(shares, state.second, x)


def mixed(shares: Tensor, weights: Tensor, x: Tensor) -> Tensor:
    """(Σ_n shares_mn W_n) x_m for weights [n, outputs, inputs]: [m, outputs]."""
    return (shares[:, None] @ torch.einsum("noi,mi->mno", weights, x)).squeeze(1)


def support_gradients(weights: tuple[Tensor, ...], features: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
    """The gradient of each image's cross-entropy by both layers of a net, [n, *weight] each."""

    def loss(weights: tuple[Tensor, ...], x: Tensor, y: Tensor) -> Tensor:
        hidden = torch.relu(weights[0] @ with_ones(x))
        return -(y * (weights[1] @ with_ones(hidden)).log_softmax(0)).sum()

    return vmap(grad(loss), in_dims=(None, 0, 0))(weights, features, labels)
