"""Conditional neural processes, for regression and for classification (Garnelo et al. 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from metarl.core import Learner
from metarl.learners.bayesian import gaussian_nll
from metarl.learners.support import SupportLearner, Ways, class_means
from metarl.losses import Samples
from metarl.nets.mlp import MLP
from metarl.ranges import Count, Range, checked


class Context(NamedTuple):
    """The encoding of a support: Σ_i h(x_i, y_i), [features], and the number of its points, []."""

    total: Tensor
    points: Tensor


class CNP(Learner):
    """A conditional neural process: a Gaussian for y given x and r = mean_i h(x_i, y_i) (Garnelo et al. 2018, eq. 1-3).

    The `encoder` h maps rows [n, x + y] to [n, features]; the `decoder` maps rows [m, features + x] to [m, 2·outputs].
    A prediction is (mean [m, outputs], log-std [m, outputs]) with std = s + (1 − s)·softplus(·) and s = `least_std`, as
    in the authors' code. The loss is `metarl.learners.bayesian.gaussian_nll`, eq. 4 on the query. A further step adds
    its batch to the support. Without a support, r = 0; predictions in this case are not trained.

    Args:
        least_std: minimum of the standard deviation of predictions
    """

    steps = 1
    gradient_steps = False
    loss = staticmethod(gaussian_nll)

    @checked
    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        *,
        features: Count,
        least_std: Annotated[float, Range(0, 1, above=True, below=True)] = 0.1,
    ) -> None:
        super().__init__()
        self.encoder, self.decoder, self.features, self.least_std = encoder, decoder, features, least_std

    def init(self) -> Context:
        like = next(self.parameters())
        return Context(like.new_zeros(self.features), like.new_zeros(()))

    def step(self, state: Context, batch: Samples, k: int) -> Context:
        each = self.encoder(torch.cat([batch.x, batch.y], 1))
        return Context(state.total + each.sum(0), state.points + len(each))

    def predict(self, state: Context, x: Tensor) -> tuple[Tensor, Tensor]:
        r = state.total / state.points.clamp(min=1)
        mean, spread = self.decoder(torch.cat([r.expand(len(x), -1), x], 1)).chunk(2, dim=1)
        return mean, (self.least_std + (1 - self.least_std) * functional.softplus(spread)).log()


class CNPClassifier(SupportLearner):
    """A conditional neural process for classification: logits g(r, f(x)), r being the mean features of all classes.

    g is an MLP from (ways + 1)·`features` numbers to the logits (Garnelo et al. 2018, section 4.3). The encoder f is
    the same for the support and the query.

    Args:
        hidden: sizes of the hidden layers of g
    """

    @checked
    def __init__(
        self, encoder: nn.Module, *, ways: Ways, features: Count, hidden: Sequence[Count] = (128, 128)
    ) -> None:
        super().__init__(encoder, ways=ways)
        self.decoder = MLP((ways + 1) * features, ways, hidden=hidden)

    def read(self, features: Tensor, labels: Tensor) -> tuple[Tensor]:
        return (class_means(features, labels).flatten(),)

    def logits(self, state: tuple[Tensor], features: Tensor) -> Tensor:
        return self.decoder(torch.cat([state[0].expand(len(features), -1), features], 1))
