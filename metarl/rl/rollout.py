"""Rollouts of all tasks and trajectories at once: locomotion as tasks of the core."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from functools import partial
from threading import RLock
from typing import Annotated, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from metarl.core import Distribution, Episodes, Predictor, Tasks
from metarl.devices import as_device
from metarl.envs import World, world_class
from metarl.envs.world import build, cores, numbers
from metarl.ranges import Count, Positive, Range, Share, Whole, check, checked
from metarl.rl.advantages import advantages
from metarl.rl.loop import Loop, loops, run
from metarl.rl.losses import Rollout
from metarl.rl.memory import Memory, Recorder
from metarl.trees import count

log = logging.getLogger(__name__)


class Trajectories(NamedTuple):
    """What was seen and done, as in `Rollout`, before advantages: leaves [T, H, N, …]."""

    observations: Tensor
    actions: Tensor
    log_probs: Tensor
    rewards: Tensor
    mask: Tensor


class WorldDistribution(Distribution):
    """Tasks of an environment of `metarl.envs`, each met through `trajectories` episodes of `horizon` steps a batch.

    `env` is an id such as "metarl/HalfCheetahVel-v0", or a function (num_envs, *, threads) -> World of your own.
    Advantages have `discount` γ and `gae_lambda` λ. With `gae_schedule` (γ, λ, share) training begins with those two
    and comes to these over that share of it: short credit has less noise for an untrained policy, long credit teaches
    what lasts. Support batches can have γ and λ of their own, `inner_gae`, in training and in tests: an inner step
    needs a direction more than it needs a true one, since the outer loop learns what to make of it.
    The environment receives `action_scale` times what the policy draws: 1 makes a policy std of 1 the whole action
    range, as in the MAML paper; 0.1 a tenth of it, as in ProMP and garage.
    The simulator runs on CPU threads (`threads`, 0: all cores); batches lie on `device`. One rollout runs at a time:
    several Python threads may use a distribution, and so may processes that are forked from this one.
    """

    metric = "return"

    @checked
    def __init__(
        self,
        env: str | Callable[..., World],
        *,
        trajectories: Count = 20,
        horizon: Count | None = None,
        discount: Share = 0.99,
        gae_lambda: Share = 1.0,
        gae_schedule: tuple[Share, Share, Annotated[float, Range(0, 1, above=True)]] | None = None,
        inner_gae: tuple[Share, Share] | None = None,
        action_scale: Positive = 1.0,
        threads: Whole = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        self.env, self.trajectories, self.threads, self.device = env, trajectories, threads, as_device(device)
        self.discount, self.gae_lambda, self.action_scale = discount, gae_lambda, action_scale
        self.gae_schedule, self.credit = gae_schedule, (discount, gae_lambda)  # the latter: γ and λ now
        self.inner_gae = inner_gae
        self.template = self.world(1)
        spaces = self.template.observation_space, self.template.action_space
        if any(len(space.shape) != 1 for space in spaces):
            shapes = " and ".join(str(space.shape) for space in spaces)
            raise ValueError(f"{self.template.name}: observations and actions have shapes {shapes}: make them flat")
        self.sizes = spaces[0].shape[0], spaces[1].shape[0]  # numbers in an observation, in an action
        self.horizon = self.template.default_horizon if horizon is None else horizon
        check(Count, self.horizon, f"default_horizon of {self.template.name}")
        self._worlds: dict[tuple[int, int, int], list[World]] = {}
        self.recordings = Memory()

    @checked
    def world(self, num_envs: Count, threads: Whole | None = None) -> World:
        """A new batch of `num_envs` sub-environments, on `threads` or the distribution's own number of threads."""
        kind = world_class(self.env) if isinstance(self.env, str) else self.env
        return build(kind, num_envs, threads=self.threads if threads is None else threads)

    def worlds(self, tasks: int, *, parallel: bool) -> list[World]:
        """Batches for as many tasks, kept for the next rollout: one of all, or equal parts to be stepped at once."""
        threads = self.threads or cores()
        parts = loops(tasks, threads) if parallel and self.template.parallel else 1
        key = (os.getpid(), tasks, parts)
        if key not in self._worlds:
            size = tasks * self.trajectories // parts
            self._worlds = {}  # one set at a time: a simulator's memory grows with its size
            self._worlds[key] = [self.world(size, threads // parts) for _ in range(parts)]
        return self._worlds[key]

    @property
    def lock(self) -> RLock:
        """The lock of whoever simulates: worlds are kept, and used again."""
        return _locks.setdefault(self, RLock())

    @checked
    def memory(self, n: Whole) -> int:
        """The bytes of what one rollout of `n` tasks records."""
        return 4 * n * self.horizon * self.trajectories * (sum(self.sizes) + 3)

    @checked
    def progress(self, share: Share) -> None:
        if self.gae_schedule is not None:
            discount, gae_lambda, whole = self.gae_schedule
            way = min(1.0, share / whole)
            self.credit = (
                discount + way * (self.discount - discount),
                gae_lambda + way * (self.gae_lambda - gae_lambda),
            )

    @checked
    def sample(self, n: Count, rng: np.random.Generator) -> WorldTasks:
        return self.tasks(self.template.sample_tasks(n, rng), rng)

    @checked
    def tasks(self, goals: ArrayLike, rng: np.random.Generator) -> WorldTasks:
        """The given tasks [T, task] as a meta-batch."""
        rows = np.atleast_1d(numbers(f"{self.template.name}: tasks", goals))
        check(Count, len(rows), f"{self.template.name}: the number of tasks")
        return WorldTasks(self, self.template.as_tasks(rows, len(rows)), rng)


_locks: WeakKeyDictionary[WorldDistribution, RLock] = WeakKeyDictionary()  # beside what can then be copied

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_locks.clear)  # what holds one is not in the child


class WorldTasks(Tasks):
    """T tasks (`goals` [T, task]) in T × N sub-environments; `env_steps` counts what they simulated."""

    def __init__(self, distribution: WorldDistribution, goals: np.ndarray, rng: np.random.Generator) -> None:
        self.n, self.goals, self.distribution, self.rng = len(goals), goals, distribution, rng
        self.env_steps = 0

    @checked
    def support(self, predict: Predictor, step: int) -> Rollout:
        """Fresh trajectories of the policies as they are after `step` inner steps."""
        return self.rollout(predict, *(self.distribution.inner_gae or self.distribution.credit))

    @checked
    def query(self, predict: Predictor) -> Rollout:
        return self.rollout(predict, *self.distribution.credit)

    @checked
    def score(self, predict: Predictor) -> Tensor:
        """Mean undiscounted return [T] of fresh trajectories."""
        return episode_returns(self.trajectories(predict)).mean(-1)

    @checked
    def metrics(self, episodes: Episodes) -> dict[str, float]:
        """Mean return after k inner steps, `return_k`, and the environment steps taken, `env_steps`."""
        batches = [*episodes.support, *([episodes.query] if episodes.query else [])]
        returns = {f"return_{k}": float(episode_returns(batch).mean()) for k, batch in enumerate(batches)}
        return {**returns, "env_steps": float(self.env_steps)}

    @checked
    def rollout(self, predict: Predictor, discount: Share, gae_lambda: Share) -> Rollout:
        """Fresh `trajectories` with their advantages."""
        seen = self.trajectories(predict)
        gains = advantages(seen.observations, seen.rewards, seen.mask, discount=discount, gae_lambda=gae_lambda)
        return Rollout(seen.observations, seen.actions, seen.log_probs, gains, seen.rewards, seen.mask)

    @checked
    def trajectories(self, predict: Predictor) -> Trajectories:
        """One episode in every sub-environment, with the actions of each task's own policy."""
        policies = count(predict.states, "the predictor's states")
        if policies != self.n:
            raise ValueError(f"the predictor is of {policies} tasks, and there are {self.n}: adapt it to these")
        with self.distribution.lock:
            return self._simulate(predict)

    def _simulate(self, predict: Predictor) -> Trajectories:
        options = self.distribution
        tasks, envs, horizon = self.n, options.trajectories, options.horizon
        obs_size, act_size = options.sizes
        worlds = options.worlds(tasks, parallel=predict.learner.in_numpy)
        record = Recorder(
            options.recordings, tasks, horizon, envs,
            device=options.device, staged=options.device.type != "cpu", writers=len(worlds),
        )  # fmt: skip
        fields = [record.field(obs_size), record.field(act_size), record.field(), record.field(), record.field()]
        noise = self.rng.standard_normal((horizon, tasks, envs, act_size), dtype=np.float32)
        goals = np.repeat(self.goals, envs, axis=0)
        start = options.template.initial(goals, self.rng)
        together, each = [], tasks // len(worlds)
        for part, world in enumerate(worlds):
            rows, simulated = (slice(part * n, (part + 1) * n) for n in (each, each * envs))
            world.set_tasks(goals[simulated])
            world.place(None, *(state[simulated] for state in start))
            act = predict.arrays(rows if len(worlds) > 1 else None)
            of_part = [field[rows] for field in fields]
            together.append(
                Loop(world, act, of_part, noise[:, rows], options.action_scale, partial(record.written, writer=part))
            )
        diverged = run(together)
        self.env_steps += int(fields[-1].sum())
        if diverged.any():
            self._report(diverged)
        return Trajectories(*record.tensors())

    def _report(self, diverged: np.ndarray) -> None:
        first = int(diverged.argmax())
        log.warning(
            "physics diverged in %d of %d trajectories of %s (first: number %d, task %s); each was cut there",
            diverged.sum(), len(diverged), self.distribution.template.name, first,
            self.goals[first // self.distribution.trajectories],
        )  # fmt: skip


def episode_returns(batch: Rollout | Trajectories) -> Tensor:
    """Undiscounted returns [T, N]."""
    return (batch.rewards * batch.mask).sum(1)
