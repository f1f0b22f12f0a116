"""On a GPU: what is computed there equals the CPU's to float32 tolerance, and nothing is left behind on the CPU."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import Parameter
from torch.utils._pytree import tree_leaves

from metarl.algorithms.base import Algorithm
from metarl.algorithms.descent import Descent
from metarl.algorithms.proximal import ProMP
from metarl.algorithms.reptile import Reptile
from metarl.algorithms.trust_region import TRPO
from metarl.core import Episodes, collect, meta_gradient
from metarl.learners.gradient import GradientLearner
from metarl.nets.policy import GaussianPolicy
from metarl.objectives import final
from metarl.rl.losses import clipped_surrogate, mean_kl, surrogate
from metarl.rl.rollout import WorldDistribution

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")


def sgd(parameters: Iterable[Parameter]) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.1)


ALGORITHMS: dict[str, Callable[[GradientLearner], Algorithm]] = {
    "trust region": lambda learner: TRPO(learner, surrogate, mean_kl, chunk=2),
    "trust region, built anew": lambda learner: TRPO(learner, surrogate, mean_kl, recompute=True),
    "proximal": lambda learner: ProMP(learner, final(clipped_surrogate(0.3)), mean_kl, optimizer=sgd),
    "descent": lambda learner: Descent(learner, final(surrogate), optimizer=sgd),
    "reptile": lambda learner: Reptile(learner, lr=0.5, lr_end=0.1, iterations=10),
}


def met(device: str) -> tuple[GradientLearner, Episodes]:
    """A policy learner and its episodes of two half-cheetah tasks, from the same random numbers on any device."""
    torch.manual_seed(0)
    policy = GaussianPolicy(17, 6, hidden=(32, 32), activation="tanh")
    learner = GradientLearner(policy, surrogate, steps=1, lr=0.1).to(device)
    distribution = WorldDistribution("metarl/HalfCheetahVel-v0", trajectories=4, horizon=20, device=device)
    return learner, collect(learner, distribution.sample(3, np.random.default_rng(0)))


def on_cpu(tree: Any) -> list[torch.Tensor]:
    return [leaf.detach().cpu() for leaf in tree_leaves(tree)]


def test_episodes_lie_on_the_gpu_and_are_the_same() -> None:
    (_, here), (_, there) = met("cpu"), met("cuda")
    assert {leaf.device.type for leaf in tree_leaves(there)} == {"cuda"}
    assert all(leaf.is_contiguous() for leaf in tree_leaves(there))
    for one, other in zip(on_cpu(here.support), on_cpu(there.support), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)  # advantages; what was simulated is equal
    assert torch.equal(here.support[0].observations, there.support[0].observations.cpu())
    assert torch.equal(here.support[0].rewards, there.support[0].rewards.cpu())


def test_memory_copied_from_is_not_overwritten_too_early() -> None:
    learner, first = met("cuda")
    kept = on_cpu(first)
    distribution = WorldDistribution("metarl/HalfCheetahVel-v0", trajectories=4, horizon=20, device="cuda")
    for seed in range(3):
        collect(learner, distribution.sample(3, np.random.default_rng(seed)))
    for one, other in zip(kept, on_cpu(first), strict=True):
        assert torch.equal(one, other)


def test_meta_gradient() -> None:
    (here, episodes), (there, _) = met("cpu"), met("cuda")
    moved = Episodes(
        support=tuple(type(b)(*(leaf.cuda() for leaf in b)) for b in episodes.support),
        query=type(episodes.query)(*(leaf.cuda() for leaf in episodes.query)),
    )
    _, expected = meta_gradient(here, episodes, final(surrogate))
    _, found = meta_gradient(there, moved, final(surrogate))
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(one, other.cpu(), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_updates(name: str) -> None:
    ends = []
    for device in ("cpu", "cuda"):
        learner, episodes = met(device)
        metrics = ALGORITHMS[name](learner).update(episodes)
        assert all(np.isfinite(value) for value in metrics.values())
        assert {p.device.type for p in learner.parameters()} == {device}
        ends.append(torch.cat([p.detach().cpu().flatten() for p in learner.parameters()]))
    start = torch.cat([p.detach().flatten() for p in met("cpu")[0].parameters()])
    moved = (ends[0] - start).norm()
    assert moved > 0
    assert (ends[0] - ends[1]).norm() < 0.02 * moved
