"""Nearest neighbours and linear heads on frozen features."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from few_shot import WAYS, Clouds
from scipy.optimize import minimize
from torch import nn
from torch.nn import functional

from metarl.algorithms.descent import Descent
from metarl.evaluation import evaluate
from metarl.learners.baselines import FineTune, NearestNeighbour
from metarl.losses import Samples, cross_entropy
from metarl.nets.mlp import MLP
from metarl.objectives import final
from metarl.tasks.images import ImageClasses
from metarl.tasks.joint import Joint
from metarl.train import train


def test_nearest_neighbour_is_over_a_classs_images() -> None:
    support = Samples(torch.tensor([[[0.0, 0.0]], [[3.0, 0.0]], [[1.0, 1.0]]]), torch.tensor([0, 0, 1]))
    learner = NearestNeighbour(ways=2)
    logits = learner.predict(learner.step((), support, 0), torch.tensor([[[2.0, 0.0]], [[1.0, 3.0]]]))
    torch.testing.assert_close(logits, torch.tensor([[-1.0, -2.0], [-10.0, -4.0]]))


def test_nearest_neighbour_is_evaluated_untrained() -> None:
    blind, seen = evaluate(
        NearestNeighbour(ways=WAYS), Clouds(), steps=1, num_tasks=200, rng=np.random.default_rng(0)
    ).mean(1)
    assert blind == pytest.approx(1 / WAYS)
    assert 0.35 < seen < 0.6


def batch() -> Samples:
    rng = torch.Generator().manual_seed(0)
    return Samples(torch.randn(12, 4, generator=rng).double(), torch.randint(3, (12,), generator=rng))


def cross_entropy_of(flat: np.ndarray, data: Samples) -> float:
    weights = torch.from_numpy(flat).view(5, 3)
    return float(functional.cross_entropy(data.x @ weights[:4] + weights[4], data.y))


def fine_tune(iterations: int = 100) -> FineTune:
    return FineTune(nn.Identity(), ways=3, features=4, classes=7, iterations=iterations)


def test_fine_tuning_goes_down_to_the_minimum_and_stops_after_its_iterations() -> None:
    data = batch()
    losses = []
    for iterations in (0, 1, 2, 20, 3000):
        (weights,) = fine_tune(iterations).step((), data, 0)
        losses.append(cross_entropy_of(weights.numpy().ravel(), data))
    assert losses == sorted(losses, reverse=True)
    assert losses[0] == pytest.approx(np.log(3))
    best = minimize(cross_entropy_of, np.zeros(15), args=(data,), method="BFGS")
    assert losses[-1] == pytest.approx(best.fun, abs=1e-3)
    assert losses[3] > best.fun + 0.01


def test_fine_tuning_steps_the_inverse_of_the_curvature_bound_along_the_gradient() -> None:
    data = batch()
    x = torch.cat([data.x, torch.ones(12, 1).double()], 1)
    weights = torch.zeros(5, 3).double().requires_grad_()
    (slope,) = torch.autograd.grad(functional.cross_entropy(x @ weights, data.y), [weights])
    (found,) = fine_tune(1).step((), data, 0)
    torch.testing.assert_close(found, -slope * 2 / x.square().sum(1).mean())


def test_fine_tuning_leaves_the_encoder_alone() -> None:
    encoder = MLP(4, 4, hidden=())
    learner = FineTune(encoder, ways=3, features=4, classes=7)
    (weights,) = learner.step((), Samples(torch.randn(6, 4), torch.arange(6) % 3), 0)
    assert not weights.requires_grad
    with pytest.raises(ValueError, match="iterations is -1"):
        fine_tune(-1)


def test_fine_tuning_uses_the_encoders_features() -> None:
    """An encoder that looks at the informative numbers makes the toy easy."""
    net = nn.Linear(8, 3, bias=False)
    with torch.no_grad():
        net.weight.copy_(3 * torch.eye(3, 8))
    learner = FineTune(net, ways=WAYS, features=3, classes=WAYS)
    assert evaluate(learner, Clouds(), steps=1, num_tasks=200, rng=np.random.default_rng(0))[1].mean() > 0.9


def test_fine_tuning_is_pretrained_on_all_classes_at_once() -> None:
    """Without a support the learner tells all training classes; that is what training lowers the loss of."""
    torch.manual_seed(0)
    images = (255 * torch.eye(9)).to(torch.uint8).view(9, 1, 3, 3).repeat_interleave(2, 0)
    tasks = Joint(ImageClasses(images, tuple("abcdefghi"), np.full(9, 2)), images=20)
    learner = FineTune(nn.Sequential(nn.Flatten(), nn.Linear(9, 9)), ways=3, features=9, classes=9)
    algorithm = Descent(learner, final(cross_entropy), optimizer=lambda p: torch.optim.Adam(p, lr=0.05))
    metrics = list(train(algorithm, tasks, iterations=60, meta_batch=4))
    assert metrics[0]["loss"] == pytest.approx(np.log(9), rel=0.2)
    assert evaluate(learner, tasks, steps=0, num_tasks=3, rng=np.random.default_rng(0)).mean() == 1
