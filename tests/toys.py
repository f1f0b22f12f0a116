"""Small things to learn and to meet: float64 learners, random batches, waves, a point on a line."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Box
from torch import Tensor

from metarl.core import Distribution, Episodes, Loss, Predictor, Tasks
from metarl.envs.goals import Goals
from metarl.envs.world import Step, World
from metarl.learners.gradient import GradientLearner
from metarl.losses import Samples, mse
from metarl.nets.mlp import MLP
from metarl.nets.policy import GaussianPolicy
from metarl.rl.losses import Rollout, surrogate


def regressor(*, seed: int = 0, hidden: int = 5, loss: Loss = mse, **settings: Any) -> GradientLearner:
    """A float64 gradient learner of a tanh net, 1 to 1."""
    torch.manual_seed(seed)
    return GradientLearner(MLP(1, 1, hidden=(hidden,), activation="tanh"), loss, **settings).double()


def policy_learner(*, seed: int = 0, hidden: int = 4, loss: Loss = surrogate, **settings: Any) -> GradientLearner:
    """A float64 gradient learner of a tanh Gaussian policy, 3 observations to 2 actions."""
    torch.manual_seed(seed)
    net = GaussianPolicy(3, 2, hidden=(hidden,), activation="tanh", init_std=0.7)
    return GradientLearner(net, loss, **settings).double()


def random_samples(tasks: int, n: int, rng: np.random.Generator) -> Samples:
    return Samples(torch.from_numpy(rng.normal(size=(tasks, n, 1))), torch.from_numpy(rng.normal(size=(tasks, n, 1))))


def random_rollout(tasks: int, rng: np.random.Generator, *, horizon: int = 6, envs: int = 4) -> Rollout:
    """Random float64 data in the form of a rollout: some trajectories end early, ratios are not 1."""
    shape = (tasks, horizon, envs)
    actions = rng.normal(size=(*shape, 2))
    log_probs = -0.5 * (actions**2).sum(-1) - math.log(2 * math.pi) + 0.3 * rng.normal(size=shape)
    ends = rng.integers(2, horizon + 1, size=(tasks, 1, envs))
    mask = (np.arange(horizon)[:, None] < ends).astype(float)
    advantages, rewards = rng.normal(size=shape) * mask, rng.normal(size=shape) * mask
    arrays = (rng.normal(size=(*shape, 3)), actions, log_probs, advantages, rewards, mask)
    return Rollout(*(torch.from_numpy(a) for a in arrays))


def sample_episodes(*, tasks: int = 4, steps: int = 1, seed: int = 0) -> Episodes:
    rng = np.random.default_rng(seed)
    return Episodes(tuple(random_samples(tasks, 6, rng) for _ in range(steps)), random_samples(tasks, 7, rng))


def rollout_episodes(*, tasks: int = 3, steps: int = 1, seed: int = 0) -> Episodes:
    rng = np.random.default_rng(seed)
    return Episodes(tuple(random_rollout(tasks, rng) for _ in range(steps)), random_rollout(tasks, rng))


class WaveTasks(Tasks):
    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.n, self.x, self.y = len(x), x, y

    def support(self, predict: Predictor, step: int) -> Samples:
        return Samples(self.x[:, :10], self.y[:, :10])

    def query(self, predict: Predictor) -> Samples:
        return Samples(self.x[:, 10:20], self.y[:, 10:20])

    def score(self, predict: Predictor) -> Tensor:
        return (predict(self.x[:, 20:]) - self.y[:, 20:]).square().mean((1, 2))


class Waves(Distribution):
    """y = sin 3x or −sin 3x, equally likely, with x ~ U[−1, 1], in float32.

    Without adaptation no prediction beats y = 0, whose mean squared error is the mean of sin² 3x, 1/2 − sin(6)/12.
    """

    metric = "loss"
    blind = 0.5 - math.sin(6) / 12

    def sample(self, n: int, rng: np.random.Generator) -> WaveTasks:
        sign, x = rng.choice([-1.0, 1.0], (n, 1, 1)), rng.uniform(-1, 1, (n, 60, 1))
        return WaveTasks(*(torch.from_numpy(a.astype(np.float32)) for a in (x, sign * np.sin(3 * x))))


class Ends(Goals):
    """−1 or +1, equally likely."""

    def __init__(self) -> None:
        super().__init__(-1.0, 1.0)

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        return rng.choice([-1.0, 1.0], (n, 1))


class Track(World):
    """A point on a line from ±0.05 that an action ±1 moves by 0.2; r = −|x − goal|; the episode ends beyond `edge`."""

    goals = Ends()
    default_horizon = 5
    observation_space = Box(-np.inf, np.inf, (1,), np.float64)
    action_space = Box(-1.0, 1.0, (1,), np.float32)
    dt = 1.0
    edge = math.inf
    breaks_at = math.inf  # where the "physics" diverges
    afterwards = 0.0  # where a point that diverged is found

    def __init__(self, num_envs: int, *, threads: int = 0) -> None:
        super().__init__(num_envs, threads=threads)
        self.x = np.zeros(num_envs)

    def initial(self, tasks: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray]:
        return (rng.uniform(-0.05, 0.05, len(tasks)),)

    def place(self, ids: Any, *state: np.ndarray) -> None:
        self.x[slice(None) if ids is None else ids] = state[0]

    def advance(self, actions: np.ndarray, alive: np.ndarray | None) -> Step:
        self.x += 0.2 * np.clip(actions[:, 0], -1, 1) * (1 if alive is None else alive)
        diverged = self.x > self.breaks_at
        self.x[diverged] = self.afterwards
        return Step(-np.abs(self.x - self.tasks[:, 0]), np.abs(self.x) > self.edge, diverged, {})

    def write(self, out: np.ndarray) -> None:
        out[:, 0] = self.x


def track_learner(*, seed: int = 0, loss: Loss = surrogate, hidden: int = 8, **settings: Any) -> GradientLearner:
    """A float32 gradient learner for `Track`."""
    torch.manual_seed(seed)
    return GradientLearner(GaussianPolicy(1, 1, hidden=(hidden,), activation="tanh", init_std=0.5), loss, **settings)


def pusher(push: float = 1.0, **settings: Any) -> GradientLearner:
    """A learner whose policy does almost exactly `push` everywhere."""
    learner = track_learner(**settings)
    assert isinstance(learner.net, GaussianPolicy)
    with torch.no_grad():
        for name, parameter in learner.net.mean.named_parameters():
            parameter.fill_(push if name == "layers.1.bias" else 0.0)
        learner.net.log_std.fill_(-12.0)
    return learner
