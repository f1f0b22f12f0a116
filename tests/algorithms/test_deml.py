"""Deep meta-learning: the gradient of both losses by hand, resuming, images of other classes that help."""

from __future__ import annotations

from copy import deepcopy
from functools import partial

import byhand
import numpy as np
import pytest
import torch
from byhand import flat, relative_error
from torch import Tensor
from torch.nn import functional

from metarl.algorithms.deml import DEML
from metarl.algorithms.descent import Descent
from metarl.core import Episodes, collect
from metarl.evaluation import evaluate
from metarl.learners.gradient import GradientLearner
from metarl.learners.laplace import Headed
from metarl.learners.metric import ProtoNet
from metarl.losses import cross_entropy, mse
from metarl.nets.conv4 import Conv4
from metarl.nets.mlp import MLP
from metarl.tasks.datasets.image_classes import ImageClasses
from metarl.tasks.images import Images
from metarl.tasks.joint import Joint
from metarl.train import train


def classes(seed: int, count: int, *, noise: int = 40) -> ImageClasses:
    """Noisy copies of a random pattern for each class, 8 × 8 pixels."""
    rng = np.random.default_rng(seed)
    patterns = 200 * (rng.random((count, 1, 1, 8, 8)) < 0.3)
    images = (patterns + rng.integers(0, noise, (count, 20, 1, 8, 8))).astype(np.uint8)
    return ImageClasses(torch.from_numpy(images).flatten(0, 1), tuple(map(str, range(count))), np.full(count, 20))


TASKS = Images(classes(0, 12), ways=3, shots=1, queries=2)
EXTERNAL = Joint(classes(1, 7), images=10)


def learner_of(*, seed: int = 0, steps: int = 2) -> GradientLearner:
    torch.manual_seed(seed)
    net = Headed(Conv4(1, None, size=8, filters=4), features=4, outputs=3)
    return GradientLearner(net, cross_entropy, steps=steps, lr=0.5, learn_lr=True, adapt="head")


def sampled(learner: GradientLearner, *, seed: int = 0) -> Episodes:
    return collect(learner, TASKS.sample(4, np.random.default_rng(seed)))


def test_the_gradient_is_that_of_the_sum_of_both_losses() -> None:
    learner = learner_of()
    outer = DEML(learner, EXTERNAL, weight=0.7, lr=0.01)
    episodes, before = sampled(learner), [p.detach().clone() for p in learner.parameters()]
    terms = []
    for t in range(4):
        episode = byhand.task(episodes, t)
        terms.append(cross_entropy(partial(learner.predict, learner.states(episode.support)[-1]), episode.query))
    torch.manual_seed(5)
    x, y = EXTERNAL.sample(1, np.random.default_rng(int(torch.randint(2**62, ())))).query(None)  # type: ignore[arg-type]
    concepts = functional.cross_entropy(outer.discriminator(learner.net.encoder(x[0])), y[0])
    known = [*learner.parameters(), *outer.discriminator.parameters()]
    truth = torch.autograd.grad(torch.stack(terms).mean() + 0.7 * concepts, known)
    torch.manual_seed(5)
    metrics = outer.update(episodes)
    assert metrics["concept_loss"] == pytest.approx(float(concepts.detach()), rel=1e-5)
    found = [p.grad for p in known]
    assert relative_error(flat(found), flat(truth)) < 1e-4  # type: ignore[arg-type]
    assert metrics["gradient_norm"] == pytest.approx(float(flat(truth[: len(before)]).norm()), rel=1e-4)
    for p, start, slope in zip(known, before, truth, strict=False):  # Adam's first step
        torch.testing.assert_close(p, start - 0.01 * slope / (slope.abs() + 1e-8), rtol=1e-3, atol=1e-4)


def test_without_weight_it_is_descent() -> None:
    results: list[Tensor] = []
    for make in (lambda learner: DEML(learner, EXTERNAL, weight=0, lr=0.01), lambda learner: Descent(learner, lr=0.01)):
        learner = learner_of()
        make(learner).update(sampled(learner))
        results.append(flat(list(learner.parameters())))
    torch.testing.assert_close(*results)


def test_it_goes_on_where_it_was() -> None:
    learner, other = learner_of(), learner_of()
    outer, again = (DEML(one, EXTERNAL, lr=0.01, lr_end=0.0, iterations=4) for one in (learner, other))
    torch.manual_seed(0)
    for seed in range(2):
        outer.update(sampled(learner, seed=seed))
    other.load_state_dict(learner.state_dict())
    again.load_state_dict(deepcopy(outer.state_dict()))
    for one, loop in ((learner, outer), (other, again)):
        torch.manual_seed(1)
        loop.update(sampled(one, seed=3))
    for a, b in zip(learner.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
    assert torch.equal(outer.discriminator.weight, again.discriminator.weight)


def test_external_classes_are_learned_and_help_with_tasks() -> None:
    """Few tasks of 3 classes: other images raise the accuracy on new classes."""
    few, held_out = Images(classes(0, 3), ways=3, shots=1, queries=2), Images(classes(2, 12), ways=3, shots=1)
    scores = []
    for weight in (0.0, 1.0):
        learner = learner_of()
        outer = DEML(learner, Joint(classes(1, 40), images=80), weight=weight, lr=0.01)
        metrics = list(train(outer, few, iterations=40, meta_batch=2))
        scores.append(evaluate(learner, held_out, steps=2, num_tasks=100)[-1].mean())
    assert metrics[-1]["concept_loss"] < 0.8 * metrics[0]["concept_loss"]
    assert scores[1] > scores[0] + 0.05


def test_learners_without_an_encoder_are_refused() -> None:
    with pytest.raises(ValueError, match="ProtoNet has no net: give DEML a learner whose net is a Headed"):
        DEML(ProtoNet(MLP(1, 1), ways=2), EXTERNAL)
    with pytest.raises(ValueError, match="GradientLearner has the net MLP"):
        DEML(GradientLearner(MLP(1, 1), mse), EXTERNAL)
    with pytest.raises(ValueError, match="weight is -1"):
        DEML(learner_of(), EXTERNAL, weight=-1)
