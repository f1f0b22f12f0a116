"""Matching networks: attention over the support, with or without full-context embeddings (Vinyals et al. 2016)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from metarl.described import Described
from metarl.learners.metric import Embedded
from metarl.learners.support import SupportLearner, Ways
from metarl.nets.recurrent import LSTMCell
from metarl.ranges import Count, checked


class MatchingNet(SupportLearner):
    """Attention over support labels: p(y) = Σ_i a(x, x_i)·y_i, with a the softmax of cos(f(x), g(x_i)).

    Logits are log p (Vinyals et al. 2016, eq. 1 and section 2.1.1). With `full_context`, the embedding of each support
    image depends on the whole support, and that of a query on the support.

    Args:
        full_context: full-context embeddings of the features; by default the features themselves are compared
    """

    @checked
    def __init__(self, encoder: nn.Module, *, ways: Ways, full_context: FullContext | None = None) -> None:
        super().__init__(encoder, ways=ways)
        self.full_context = full_context

    def read(self, features: Tensor, labels: Tensor) -> Embedded:
        return Embedded(self.full_context.support(features) if self.full_context else features, labels)

    def logits(self, state: Embedded, features: Tensor) -> Tensor:
        if self.full_context:
            features = self.full_context.query(features, state.features)
        cosines = functional.normalize(features, dim=1) @ functional.normalize(state.features, dim=1).T
        return (cosines.softmax(1) @ state.labels).log()


class FullContext(Described, nn.Module):
    """Full-context embeddings with `features` numbers (Vinyals et al. 2016, section 2.1.2 and appendix A.1, A.2).

    A bidirectional LSTM runs over the support: g(x_i) = h→_i + h←_i + g'(x_i). A query attends to the support `reads`
    times: h_k = LSTM(f'(x), [h_{k−1}, r_{k−1}]) + f'(x), with r_k = softmax(h_k·g) g and h_0 = 0.

    Args:
        reads: how often a query attends to the support
    """

    @checked
    def __init__(self, features: Count, *, reads: Count = 5) -> None:
        super().__init__()
        self.reads = reads
        self.forwards, self.backwards = LSTMCell(features, features), LSTMCell(features, features)
        self.attending = LSTMCell(2 * features, features)

    def support(self, features: Tensor) -> Tensor:
        """Full-context embeddings [n, d] of a support with features [n, d]."""
        backwards = self.backwards.run(features.flip(0)[:, None]).flip(0)
        return (self.forwards.run(features[:, None]) + backwards).squeeze(1) + features

    def query(self, features: Tensor, support: Tensor) -> Tensor:
        """Full-context embeddings [m, d] of queries with features [m, d], independently, given a support [n, d]."""
        hidden = cell = torch.zeros_like(features)
        for _ in range(self.reads):
            read = (hidden @ support.T).softmax(1) @ support
            hidden, cell = self.attending(torch.cat([features, read], 1), (hidden, cell))
            hidden = hidden + features
        return hidden
