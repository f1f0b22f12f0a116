"""The life-long memory module, which classifies by the nearest key in a memory (Kaiser et al. 2017)."""

from __future__ import annotations

import math
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from metarl.core import Predict
from metarl.learners.support import SupportLearner, Ways, one_hot
from metarl.losses import Samples
from metarl.ranges import Count, Positive, checked


class Rows(NamedTuple):
    """The contents of the memory."""

    keys: Tensor  # K, [slots, features], of length 1; 0 in rows that have never been written
    values: Tensor  # V, [slots, ways], one-hot labels; 0 in rows that have never been written
    ages: Tensor  # A, [slots], the number of images since the row was written


def margin_loss(predict: Predict, batch: Samples, *, margin: float) -> Tensor:
    """The mean of max(0, s_b − s_p + margin), where s_p is the logit of the label and s_b the largest other logit.

    With the logits of `MemoryModule`, which are cosines with the nearest key of each class, this is loss(q, v, M) in
    section 2 of Kaiser et al. (2017).
    """
    logits = predict(batch.x)
    own = one_hot(batch.y, like=logits)
    best = torch.where(own > 0, -math.inf, logits).amax(1)
    return torch.relu(best - (own * logits).sum(1) + margin).mean()


class MemoryModule(SupportLearner):
    """A memory of keys, values and ages; the prediction for a query is the value of its nearest key.

    See Kaiser et al. 2017, section 2. The vector q consists of the features of an image, scaled to length 1. The logit
    of a class is the largest cosine q·K_i among the keys of this class, and −1 if the memory has none. To learn that
    the label of q is v, the memory finds the nearest key n:

    - if V_n = v, the key becomes the direction of q + K_n;
    - otherwise the oldest row becomes (q, v).

    The age of the changed row is then 0, and all other ages grow by 1. A row that was never written counts as older
    than all others; in the paper, ties of ages are broken at random, and here the first row is taken.

    The support is read one image at a time. The state is the memory, which is empty before the first step; a further
    step writes to the same memory, so that it can be kept for more than one support. The loss is `margin_loss` on the
    query. In the paper, the loss is that of each image before the image is written, only the 256 nearest keys are
    searched for s_p and s_b, and keys are constants. Here all keys are searched, and the meta-gradient also passes
    through the keys that the support wrote.

    Args:
        slots: number of rows of the memory
        margin: required difference between the cosine of the right class and the largest other cosine
    """

    @checked
    def __init__(self, encoder: nn.Module, *, ways: Ways, slots: Count = 128, margin: Positive = 0.1) -> None:
        super().__init__(encoder, ways=ways)
        self.slots, self.loss = slots, partial(margin_loss, margin=margin)

    def step(self, state: tuple[Tensor, ...], batch: Samples, k: int) -> Rows:
        features = self.encoder(batch.x)
        labels = one_hot(batch.y, like=features.new_empty(len(features), self.ways))
        return self.read(features, labels, Rows(*state) if state else None)

    def read(self, features: Tensor, labels: Tensor, rows: Rows | None = None) -> Rows:
        if rows is None:
            sizes = features.shape[1:], (self.ways,), ()
            rows = Rows(*(features.new_zeros(self.slots, *size) for size in sizes))
        for q, label in zip(directions(features), labels, strict=True):
            rows = written(rows, q, label)
        return rows

    def logits(self, state: tuple[Tensor, ...], features: Tensor) -> Tensor:
        keys, values, _ = state
        cosines = directions(features) @ keys.T  # [m, slots]
        return torch.where(values.T > 0, cosines[:, None], -1.0).amax(-1)


def written(rows: Rows, q: Tensor, label: Tensor) -> Rows:
    """The memory after it has learned that q [features] has the one-hot `label` [ways]."""
    keys, values, ages = rows
    cosines = torch.where(values.sum(1) > 0, keys @ q, -2.0)
    nearest = functional.one_hot(cosines.argmax(), len(keys)).to(q.dtype)
    known = (nearest @ values) @ label  # 1 if the nearest key has this label, otherwise 0
    oldest = functional.one_hot(ages.argmax(), len(keys)).to(q.dtype)
    changed = (known * nearest + (1 - known) * oldest)[:, None] > 0
    key = directions(q + known * (nearest @ keys))
    ages = torch.where(changed[:, 0], 0.0, ages + 1)
    return Rows(torch.where(changed, key, keys), torch.where(changed, label, values), ages)


def directions(x: Tensor) -> Tensor:
    """x [..., features] scaled to length 1."""
    return functional.normalize(x, dim=-1, eps=1e-6)
