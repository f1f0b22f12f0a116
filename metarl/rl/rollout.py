"""Rollouts of all tasks and trajectories at once: locomotion as tasks of the core."""

from __future__ import annotations

import logging
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from metarl.core import Distribution, Episodes, Predictor, Tasks
from metarl.envs import World, make_world
from metarl.envs.world import cores
from metarl.rl.advantages import advantages
from metarl.rl.loop import Loop, loops, run
from metarl.rl.losses import Rollout
from metarl.rl.memory import Memory, Recorder

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
    Advantages have `discount` γ and `gae_lambda` λ. With `credit_from` (γ, λ, share) training begins with those two and
    comes to these over that share of it: short credit has less noise for an untrained policy, long credit teaches what
    lasts. Support batches can have γ and λ of their own, `inner_credit`, in training and in tests: an inner step needs
    a direction more than it needs a true one, since the outer loop learns what to make of it.
    The environment receives `action_scale` times what the policy draws: 1 makes a policy std of 1 the whole action
    range, as in the MAML paper; 0.1 a tenth of it, as in ProMP and garage.
    The simulator runs on CPU threads (`threads`, 0: all cores); batches lie on `device`.
    """

    metric = "return"

    def __init__(
        self,
        env: str | type[World],
        *,
        trajectories: int = 20,
        horizon: int | None = None,
        discount: float = 0.99,
        gae_lambda: float = 1.0,
        credit_from: tuple[float, float, float] | None = None,
        inner_credit: tuple[float, float] | None = None,
        action_scale: float = 1.0,
        threads: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        if trajectories < 1:
            raise ValueError(f"trajectories is {trajectories}: a task is met through at least one")
        if horizon is not None and horizon < 1:
            raise ValueError(f"horizon is {horizon}: an episode has at least one step")
        final = (discount, gae_lambda)
        given = {"discount, gae_lambda": final, "credit_from": credit_from, "inner_credit": inner_credit}
        for name, credit in given.items():
            if credit is not None and not all(0 <= value <= 1 for value in credit[:2]):
                raise ValueError(f"{name} is {credit}: γ and λ lie between 0 and 1")
        if credit_from is not None and not 0 < credit_from[2] <= 1:
            raise ValueError(f"credit_from is {credit_from}: give γ, λ and a share of training, above 0 and up to 1")
        self.env, self.trajectories, self.threads, self.device = env, trajectories, threads, torch.device(device)
        self.discount, self.gae_lambda, self.action_scale = discount, gae_lambda, action_scale
        self.credit_from, self.credit = credit_from, final  # the latter: γ and λ now
        self.inner_credit = inner_credit
        self.template = self.world(1)
        self.horizon = horizon or self.template.default_horizon
        self._worlds: dict[tuple[int, int], list[World]] = {}
        self.memory = Memory()

    def world(self, num_envs: int, threads: int | None = None) -> World:
        """A new batch of `num_envs` sub-environments, on `threads` or the distribution's own number of threads."""
        threads = self.threads if threads is None else threads
        if isinstance(self.env, str):
            return make_world(self.env, num_envs, threads=threads)
        return self.env(num_envs, threads=threads)

    def worlds(self, tasks: int, *, parallel: bool) -> list[World]:
        """Batches for as many tasks, kept for the next rollout: one of all, or equal parts to be stepped at once."""
        threads = self.threads or cores()
        parts = loops(tasks, threads) if parallel and self.template.parallel else 1
        if (tasks, parts) not in self._worlds:
            size = tasks * self.trajectories // parts
            self._worlds = {}  # one set at a time: a simulator's memory grows with its size
            self._worlds[tasks, parts] = [self.world(size, threads // parts) for _ in range(parts)]
        return self._worlds[tasks, parts]

    def progress(self, share: float) -> None:
        if self.credit_from is not None:
            discount, gae_lambda, whole = self.credit_from
            way = min(1.0, share / whole)
            self.credit = (
                discount + way * (self.discount - discount),
                gae_lambda + way * (self.gae_lambda - gae_lambda),
            )

    def sample(self, n: int, rng: np.random.Generator) -> WorldTasks:
        return self.tasks(self.template.sample_tasks(n, rng), rng)

    def tasks(self, goals: np.ndarray, rng: np.random.Generator) -> WorldTasks:
        """The given tasks [T, task] as a meta-batch."""
        return WorldTasks(self, np.asarray(goals, dtype=float), rng)


class WorldTasks(Tasks):
    """T tasks (`goals` [T, task]) in T × N sub-environments; `env_steps` counts what they simulated."""

    def __init__(self, distribution: WorldDistribution, goals: np.ndarray, rng: np.random.Generator) -> None:
        self.n, self.goals, self.distribution, self.rng = len(goals), goals, distribution, rng
        self.env_steps = 0

    def support(self, predict: Predictor, step: int) -> Rollout:
        """Fresh trajectories of the policies as they are after `step` inner steps."""
        return self.rollout(predict, *(self.distribution.inner_credit or self.distribution.credit))

    def query(self, predict: Predictor) -> Rollout:
        return self.rollout(predict, *self.distribution.credit)

    def score(self, predict: Predictor) -> Tensor:
        """Mean undiscounted return [T] of fresh trajectories."""
        return episode_returns(self.trajectories(predict)).mean(-1)

    def metrics(self, episodes: Episodes) -> dict[str, float]:
        """Mean return after k inner steps, `return_k`, and the environment steps taken, `env_steps`."""
        batches = [*episodes.support, *([episodes.query] if episodes.query else [])]
        returns = {f"return_{k}": float(episode_returns(batch).mean()) for k, batch in enumerate(batches)}
        return {**returns, "env_steps": float(self.env_steps)}

    def rollout(self, predict: Predictor, discount: float, gae_lambda: float) -> Rollout:
        """Fresh `trajectories` with their advantages."""
        seen = self.trajectories(predict)
        gains = advantages(seen.observations, seen.rewards, seen.mask, discount=discount, gae_lambda=gae_lambda)
        return Rollout(seen.observations, seen.actions, seen.log_probs, gains, seen.rewards, seen.mask)

    def trajectories(self, predict: Predictor) -> Trajectories:
        """One episode in every sub-environment, with the actions of each task's own policy."""
        options, template = self.distribution, self.distribution.template
        tasks, envs, horizon = self.n, options.trajectories, options.horizon
        obs_size, act_size = template.observation_space.shape[0], template.action_space.shape[0]
        worlds = options.worlds(tasks, parallel=predict.learner.in_numpy)
        record = Recorder(
            options.memory, tasks, horizon, envs,
            device=options.device, staged=options.device.type != "cpu", writers=len(worlds),
        )  # fmt: skip
        fields = [record.field(obs_size), record.field(act_size), record.field(), record.field(), record.field()]
        noise = self.rng.standard_normal((horizon, tasks, envs, act_size), dtype=np.float32)
        start = template.initial(tasks * envs, self.rng)
        together, each = [], tasks // len(worlds)
        for part, world in enumerate(worlds):
            rows = slice(part * each, (part + 1) * each)
            world.set_tasks(np.repeat(self.goals[rows], envs, axis=0))
            world.place(None, *(state[rows.start * envs : rows.stop * envs] for state in start))
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
