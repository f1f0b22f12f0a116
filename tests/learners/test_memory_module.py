"""The life-long memory module in a case worked out by hand, against lists in NumPy, and on toys."""

from __future__ import annotations

import math
from functools import partial

import byhand
import numpy as np
import pytest
import torch
from byhand import flat, relative_error
from few_shot import FEATURES, INPUTS, WAYS, Clouds, cloud_episodes
from torch import Tensor, nn

from metarl.algorithms.descent import Descent
from metarl.core import meta_gradient
from metarl.evaluation import evaluate
from metarl.learners.memory_module import MemoryModule, margin_loss
from metarl.losses import Samples
from metarl.nets.mlp import MLP
from metarl.objectives import final
from metarl.train import train


def points(*rows: tuple[float, float], labels: list[int]) -> Samples:
    return Samples(torch.tensor(rows).double(), torch.tensor(labels))


def test_a_case_by_hand() -> None:
    """Two rows. (1, 0) is 0 and (0, 2) is 1; (3, 4), nearest to (0, 1), is 1 too; (5, 0), nearest to (1, 0), is 2."""
    learner = MemoryModule(nn.Identity(), ways=3, slots=2)
    first = learner.step((), points((1, 0), (0, 2), labels=[0, 1]), 0)
    torch.testing.assert_close(first.keys, torch.eye(2).double())
    torch.testing.assert_close(first.ages, torch.tensor([1.0, 0.0]).double())
    second = learner.step(first, points((3, 4), labels=[1]), 1)  # the memory lives on; the same label: keys merge
    merged = torch.tensor([0.6, 1.8]).double() / math.sqrt(3.6)
    torch.testing.assert_close(second.keys, torch.stack([torch.tensor([1.0, 0.0]).double(), merged]))
    torch.testing.assert_close(second.ages, torch.tensor([2.0, 0.0]).double())
    logits = learner.predict(second, torch.tensor([[0.0, 7.0]]).double())
    torch.testing.assert_close(logits, torch.tensor([[0.0, 1.8 / math.sqrt(3.6), -1.0]]).double())
    third = learner.step(second, points((5, 0), labels=[2]), 2)  # another label: the oldest row is replaced
    torch.testing.assert_close(third.keys[0], torch.tensor([1.0, 0.0]).double())
    torch.testing.assert_close(third.values, torch.tensor([[0.0, 0, 1], [0, 1, 0]]).double())
    assert third.ages.tolist() == [0.0, 1.0]


def by_hand(support: Samples, query: Tensor, *, slots: int) -> np.ndarray:
    keys: list[np.ndarray] = []
    values: list[int] = []
    ages: list[int] = []
    for x, y in zip(support.x.numpy(), support.y.tolist(), strict=True):
        q = x / np.linalg.norm(x)
        nearest = int(np.argmax([key @ q for key in keys])) if keys else None
        if nearest is not None and values[nearest] == y:
            merged = q + keys[nearest]
            row, key = nearest, merged / np.linalg.norm(merged)
        else:
            row, key = len(keys) if len(keys) < slots else int(np.argmax(ages)), q
        ages = [age + 1 for age in ages]
        if row == len(keys):
            keys.append(key), values.append(y), ages.append(0)
        keys[row], values[row], ages[row] = key, y, 0
    logits = np.full((len(query), WAYS), -1.0)
    for i, x in enumerate(query.numpy()):
        for key, value in zip(keys, values, strict=True):
            logits[i, value] = max(logits[i, value], key @ x / np.linalg.norm(x))
    return logits


@pytest.mark.parametrize("slots", [4, 7, 40])  # 24 images: rows are used again, or not
def test_logits_are_those_of_lists(slots: int) -> None:
    learner = MemoryModule(nn.Identity(), ways=WAYS, slots=slots)
    for t in range(3):
        episode = byhand.task(cloud_episodes(shots=8), t)
        found = learner.predict(learner.states(episode.support)[1], episode.query.x)
        np.testing.assert_allclose(found, by_hand(episode.support[0], episode.query.x, slots=slots), rtol=1e-9)


def test_the_margin_loss_by_hand() -> None:
    """0.3 − 0.9 + 0.1 < 0; 0.8 − 0.75 + 0.1 = 0.15; −0.2 − (−1) + 0.1 = 0.9: the mean is 0.35."""
    logits = torch.tensor([[0.9, 0.3, -1], [0.8, 0.75, 0.0], [-0.2, -0.5, -1]])
    batch = Samples(torch.zeros(3, 1), torch.tensor([0, 1, 2]))
    assert float(margin_loss(lambda x: logits, batch, margin=0.1)) == pytest.approx(0.35)


def embedded() -> MemoryModule:
    torch.manual_seed(0)
    encoder = MLP(INPUTS, FEATURES, hidden=(10,), activation="tanh")
    return MemoryModule(encoder, ways=WAYS, slots=12, margin=0.5)


def test_meta_gradient_is_that_of_a_loop_and_of_finite_differences() -> None:
    learner, episodes = embedded().double(), cloud_episodes()
    parameters = list(learner.parameters())

    def looped() -> Tensor:
        terms = []
        for t in range(3):
            episode = byhand.task(episodes, t)
            terms.append(learner.loss(partial(learner.predict, learner.states(episode.support)[1]), episode.query))
        return torch.stack(terms).mean()

    value, found = meta_gradient(learner, episodes, final(learner.loss))
    assert value == pytest.approx(float(looped().detach()), rel=1e-9)
    assert relative_error(flat(found), flat(torch.autograd.grad(looped(), parameters))) < 1e-8
    slopes = byhand.finite_differences(lambda: float(looped().detach()), parameters, h=1e-6)
    assert relative_error(flat(found), slopes) < 1e-5


def test_clouds() -> None:
    """After training, at least 0.85 of the queries are right; before, less than 0.6, and a third before the support."""
    learner = embedded()

    def accuracy() -> np.ndarray:
        return evaluate(learner, Clouds(), steps=1, num_tasks=200, rng=np.random.default_rng(1)).mean(1)

    before = accuracy()
    for _ in train(Descent(learner, lr=0.01), Clouds(), iterations=150, meta_batch=16):
        pass
    blind, after = accuracy()
    assert before[1] < 0.6
    assert blind == pytest.approx(1 / WAYS, abs=0.01)
    assert after > 0.85


def test_settings_are_checked() -> None:
    for settings, message in (({"slots": 0}, "slots is 0"), ({"margin": 0}, "margin is 0")):
        with pytest.raises(ValueError, match=message):
            MemoryModule(nn.Identity(), ways=2, **settings)  # type: ignore[arg-type]
