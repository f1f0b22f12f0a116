"""Alpha MAML worked by hand on one number, its hypergradients as inner products, step sizes that find themselves."""

from __future__ import annotations

import byhand
import numpy as np
import pytest
import torch
from byhand import flat
from toys import Waves, sample_episodes

from metarl.algorithms.alpha import AlphaLearner, AlphaMAML
from metarl.core import Episodes, meta_gradient
from metarl.evaluation import evaluate
from metarl.losses import Samples, mse
from metarl.nets.mlp import MLP
from metarl.objectives import final
from metarl.train import train


def learner_of(*, hidden: tuple[int, ...] = (5,), steps: int = 1, lr: float = 0.2) -> AlphaLearner:
    torch.manual_seed(0)
    return AlphaLearner(MLP(1, 1, hidden=hidden, activation="tanh"), mse, steps=steps, lr=lr).double()


def test_updates_worked_by_hand() -> None:
    """y = b, with losses (b − s)² of the support and (b − q)² of the query: b' = b − 2α(b − s)."""
    learner = learner_of(hidden=(), lr=0.25)
    weight, bias = learner.net.parameters()
    with torch.no_grad():
        weight.fill_(7.0)  # all x are 0: it has no part
        bias.fill_(1.0)

    def batch(y: float) -> Samples:
        return Samples(torch.zeros(1, 1, 1).double(), torch.full((1, 1, 1), y).double())

    episodes = Episodes((batch(3.0),), batch(5.0))
    outer = AlphaMAML(learner, final(mse), lr=0.125, inner_hyper=0.0625, outer_hyper=0.03125)
    # b' = 1 + 1 = 2; dL/db' = −6; dL/db = −6·(1 − 2α) = −3; dL/dα = −6·(−2)(b − s) = −24
    assert outer.update(episodes) == pytest.approx(
        {"loss": 9.0, "gradient_norm": (3**2 + 24**2) ** 0.5, "inner_lr": 0.25 + 24 / 16, "outer_lr": 0.125}
    )
    assert bias.item() == 1.0 + 0.125 * 3
    # now b = 1.375, α = 1.75: b' = 1.375 + 3.5·1.625 = 7.0625; dL/db' = 4.125; dL/db = 4.125·(−2.5) = −10.3125
    metrics = outer.update(episodes)
    assert metrics["loss"] == pytest.approx(2.0625**2)
    assert metrics["outer_lr"] == pytest.approx(0.125 + 0.03125 * 3 * 10.3125)
    assert metrics["inner_lr"] == pytest.approx(1.75 - 0.0625 * 4.125 * 2 * 1.625)
    assert bias.item() == pytest.approx(1.375 + metrics["outer_lr"] * 10.3125)
    b, alpha = bias.item(), metrics["inner_lr"]
    slope = 2 * (b - 2 * alpha * (b - 3) - 5) * (1 - 2 * alpha)
    assert outer.update(episodes)["outer_lr"] == pytest.approx(metrics["outer_lr"] - 0.03125 * slope * 10.3125)
    assert weight.item() == 7.0


def test_the_inner_hypergradient_is_minus_the_product_of_query_and_support_gradients() -> None:
    learner, episodes = learner_of(), sample_episodes()
    weights, products = dict(learner.net.named_parameters()), []
    for t in range(4):
        task = byhand.task(episodes, t)
        start, end = byhand.adapted(weights, task.support, byhand.squared_error, lr=0.2)
        support = torch.autograd.grad(byhand.squared_error(start, task.support[0]), list(weights.values()))
        query = torch.autograd.grad(byhand.squared_error(end, task.query), list(end.values()))
        products.append(flat(query) @ flat(support))
    _, (found, *_) = meta_gradient(learner, episodes, final(mse))
    torch.testing.assert_close(found, -torch.stack(products).mean())


def test_updates_are_the_same_for_every_chunk_and_go_on_after_a_checkpoint() -> None:
    def outer(chunk: int | None = None) -> AlphaMAML:
        learner = learner_of(steps=2)
        return AlphaMAML(learner, final(mse), lr=0.1, inner_hyper=0.01, outer_hyper=0.01, chunk=chunk)

    episodes = sample_episodes(steps=2)
    runs = [outer(chunk) for chunk in (None, 1, 3)]
    for _ in range(3):
        first, *rest = (run.update(episodes) for run in runs)
        for metrics in rest:
            assert metrics == pytest.approx(first)
    resumed = outer()
    resumed.learner.load_state_dict(runs[0].learner.state_dict())
    resumed.load_state_dict(runs[0].state_dict())
    assert resumed.update(episodes) == runs[0].update(episodes)
    assert resumed.lr != 0.1
    assert torch.equal(flat(list(resumed.learner.parameters())), flat(list(runs[0].learner.parameters())))


def test_bad_step_sizes_find_better_ones() -> None:
    """From step sizes far too small, it learns where fixed ones do not."""

    def error(hyper: float) -> float:
        torch.manual_seed(0)
        learner = AlphaLearner(MLP(1, 1, hidden=(20,), activation="tanh"), mse, steps=2, lr=0.01)
        outer = AlphaMAML(learner, final(mse), lr=0.01, inner_hyper=hyper, outer_hyper=hyper)
        for _ in train(outer, Waves(), iterations=60, meta_batch=10):
            pass
        return float(evaluate(learner, Waves(), steps=2, num_tasks=200, rng=np.random.default_rng(1))[-1].mean())

    assert error(0.0) > 0.9 * Waves.blind
    assert error(0.02) < 0.75 * Waves.blind
