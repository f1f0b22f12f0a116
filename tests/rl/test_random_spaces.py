"""Random observation and action spaces through a whole training iteration, and the adapted policy back in its space."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Space, Tuple, flatten

from metarl.algorithms.proximal import ProMP
from metarl.learners.maml import MAML
from metarl.nets.spaces import policy_for
from metarl.rl.losses import surrogate
from metarl.rl.policy import adapt_policy
from metarl.rl.rollout import WorldDistribution
from metarl.train import train


def shape(rng: np.random.Generator) -> tuple[int, ...]:
    return tuple(int(n) for n in rng.integers(1, 4, size=rng.integers(1, 3)))


def simple(rng: np.random.Generator) -> Space:
    """A space that a policy can act in."""
    match rng.integers(4):
        case 0:
            low, of = -rng.uniform(0.1, 2, size=shape(rng)), rng.choice([np.float32, np.float64])
            return Box(low.astype(of), (low + rng.uniform(0.5, 3)).astype(of), dtype=of)
        case 1:
            return Discrete(int(rng.integers(1, 6)), start=int(rng.integers(-3, 4)))
        case 2:
            choices = rng.integers(1, 5, size=shape(rng))
            return MultiDiscrete(choices, start=rng.integers(-3, 4, size=choices.shape))
        case _:
            return MultiBinary(shape(rng))


def observed(rng: np.random.Generator, depth: int = 0) -> Space:
    """A space of observations, some of them composed of others."""
    match rng.integers(3 if depth < 2 else 1):
        case 1:
            return Dict({str(i): observed(rng, depth + 1) for i in range(rng.integers(1, 4))})
        case 2:
            return Tuple([observed(rng, depth + 1) for _ in range(rng.integers(1, 4))])
        case _:
            return simple(rng)


class Random(gymnasium.Env[Any, Any]):
    """Observations at random, and as reward the task times the mean of the action's entries."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.observation_space, self.action_space = observed(rng), simple(rng)
        self.task_space = Box(-1, 1, (1,))
        self.task: Any = None

    def set_task(self, task: Any) -> None:
        self.task = task

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action), action
        reward = float(self.task[0] * np.mean(action))
        return self.observation_space.sample(), reward, bool(self.np_random.random() < 0.1), False, {}


@pytest.mark.parametrize("seed", range(12))
def test_an_iteration_and_a_policy(seed: int) -> None:
    torch.manual_seed(seed)
    env = Random(seed)
    tasks = WorldDistribution(lambda: Random(seed), trajectories=4, horizon=6, workers=1)
    policy = policy_for(env.observation_space, env.action_space, hidden=(8,))
    learner = MAML(policy, surrogate, lr=0.1)
    before = [parameter.detach().clone() for parameter in policy.parameters()]
    algorithm = ProMP(learner, optimizer=lambda p: torch.optim.Adam(p, lr=0.01))
    (metrics,) = list(train(algorithm, tasks, iterations=1, meta_batch=3, seed=seed))
    assert np.isfinite(list(metrics.values())).all()
    choices = getattr(env.action_space, "n", None) if isinstance(env.action_space, Discrete) else None
    if choices != 1:  # with one choice there is nothing to learn
        pairs = zip(before, policy.parameters(), strict=True)
        assert any(not torch.equal(one, other.detach()) for one, other in pairs)
    adapted = adapt_policy(learner, tasks, [0.5], seed=seed)
    observation, _ = env.reset(seed=seed)
    seen = np.asarray(flatten(env.observation_space, observation), np.float32)
    for deterministic in (True, False):
        assert env.action_space.contains(adapted.predict(seen, deterministic=deterministic)[0])
    with torch.no_grad():
        np.testing.assert_allclose(
            adapted.module()(torch.from_numpy(seen[None]))[0], adapted.predict(seen, deterministic=True)[0], atol=1e-6
        )
