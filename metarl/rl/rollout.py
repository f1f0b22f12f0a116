"""Distributions of environments' tasks, whose support and query batches are rollouts of the adapted policies."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from threading import RLock
from typing import Annotated, Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
from gymnasium.spaces import Space
from torch import Tensor

from metarl.core import Distribution, Episodes, Predictor, Tasks
from metarl.devices import as_device
from metarl.distributed import gather, of_all_tasks
from metarl.envs import World
from metarl.envs.sources import kind_of
from metarl.envs.tasked import Tasked
from metarl.envs.world import build, cores
from metarl.ranges import Count, Positive, Range, UnitInterval, Whole, check, checked
from metarl.rl.actions import check_fits, distribution_for
from metarl.rl.advantages import advantages
from metarl.rl.distributions import ActionDistribution, as_distribution
from metarl.rl.info import reduced, reductions
from metarl.rl.loop import Share, Simulator, split_evenly
from metarl.rl.losses import Rollout
from metarl.rl.memory import Memory, Recorder
from metarl.rl.sequential import SequentialSimulator
from metarl.rl.threaded import ThreadedSimulator
from metarl.rl.workers import Workers
from metarl.trees import count_tasks

log = logging.getLogger(__name__)


class Trajectories(NamedTuple):
    """Trajectories as in `Rollout`, but without advantages, with leaves [T, H, N, …]."""

    observations: Tensor
    actions: Tensor
    log_probs: Tensor
    rewards: Tensor
    mask: Tensor
    info: Tensor  # [T, H, N, K] for the K keys in the distribution's `info`, NaN for those that a step does not have


class WorldDistribution(Distribution):
    """A distribution over the tasks of an environment. Each batch has `trajectories` episodes per task.

    `env` is an id such as "metarl/HalfCheetahVel-v0" or, for an environment that a module registers,
    "my_module:me/MyTask-v0"; a gymnasium.Env class or a function that returns an environment; or a World class or a
    function (num_envs, *, threads) that returns a World. `horizon`, the maximum number of steps of an episode, is the
    environment's time limit by default.

    The task of an environment written for Gymnasium is set by `set_task` (a function of environment and task), by its
    own method `set_task` or `reset_task`, or by `reset(options={"task": task})`. Then the environment is reset with a
    random seed. Tasks are arrays, dictionaries or other objects. They are sampled by `sample_tasks(n, rng)`, from
    `task_space`, or by the environment's own method or attribute with these names. Observations are flattened by
    Gymnasium. The environment is simulated in `workers` processes (0: as many as `threads`; 1: in this process), on
    whose number results do not depend. Episodes end when they are terminated or truncated, without bootstrapping of
    values (see `metarl.rl.advantages.gae`).

    `info` contains keys of the environment's info dictionary, or of a World's `Step.parts`, that are reported in
    addition to returns. Values are averaged over the steps of an episode; for {"success": "max"}, the maximum is used.
    The results are averaged over episodes.

    Advantages are estimated by GAE with `discount` γ and `gae_lambda` λ. With `gae_schedule` (γ, λ, fraction), training
    starts with these two values and changes them linearly to the others in this fraction of training: estimates with
    small γ and λ have less variance, which helps an untrained policy, but they are biased. `inner_gae` is (γ, λ) of
    support batches, in training and in tests. It may be more biased, because the outer loop adapts to it.

    Actions are the policy's outputs multiplied by `action_scale`. If it is 1, as in the MAML paper, an output of 1 is
    the upper bound of the action space; in ProMP and garage it is 0.1. The simulator runs on CPU threads (`threads`; 0:
    the number of cores), and batches are on `device`. A distribution may be used by several Python threads, which run
    one rollout at a time, and by forked processes.
    """

    metric = "return"

    @checked
    def __init__(
        self,
        env: str | Callable[..., Any],
        *,
        trajectories: Count = 20,
        horizon: Count | None = None,
        discount: UnitInterval = 0.99,
        gae_lambda: UnitInterval = 1.0,
        gae_schedule: tuple[UnitInterval, UnitInterval, Annotated[float, Range(0, 1, above=True)]] | None = None,
        inner_gae: tuple[UnitInterval, UnitInterval] | None = None,
        action_scale: Positive = 1.0,
        threads: Whole = 0,
        device: torch.device | str = "cpu",
        task_space: Space | None = None,
        sample_tasks: Callable[[int, np.random.Generator], Sequence[Any]] | None = None,
        set_task: Callable[[Any, Any], Any] | None = None,
        workers: Whole = 0,
        info: Sequence[str] | Mapping[str, str] = (),
    ) -> None:
        self.env, self.trajectories, self.threads, self.device = env, trajectories, threads, as_device(device)
        self.info = reductions(info)
        self.kind = kind_of(
            env, task_space=task_space, sample_tasks=sample_tasks, set_task=set_task, info=tuple(self.info)
        )
        self.discount, self.gae_lambda, self.action_scale = discount, gae_lambda, action_scale
        self.gae_schedule, self.current_gae = gae_schedule, (discount, gae_lambda)
        self.inner_gae = inner_gae
        self.template = self.world(1)
        shape, actions = self.template.observation_space.shape, distribution_for(self.template.action_space)
        if len(shape) != 1:
            raise ValueError(f"{self.template.name}: observations have the shape {shape}: make them vectors")
        self.sizes = shape[0], actions.size  # of an observation and of an action
        self.horizon = self.template.default_horizon if horizon is None else horizon
        check(Count, self.horizon, f"default_horizon of {self.template.name}")
        self.recordings = Memory()
        self.simulator = self._simulator(workers)

    def _simulator(self, workers: int) -> Simulator:
        if isinstance(self.kind, Tasked):
            count = workers or (self.threads or cores() if os.name == "posix" else 1)
            return (SequentialSimulator if count == 1 else Workers)(self.kind, envs=self.trajectories, count=count)
        if workers:
            raise ValueError(f"workers is {workers}: {self.template.name} is a World, which is simulated on threads")
        return ThreadedSimulator(self.kind, envs=self.trajectories, threads=self.threads, info=tuple(self.info))

    @checked
    def world(self, num_envs: Count, threads: Whole | None = None) -> World:
        """A new World of `num_envs` sub-environments, on `threads` (default: the distribution's number of threads)."""
        return build(self.kind, num_envs, threads=self.threads if threads is None else threads)

    @property
    def lock(self) -> RLock:
        """The lock that a thread holds during a rollout, because all rollouts use the same worlds."""
        return _locks.setdefault(self, RLock())

    @checked
    def memory(self, n: Whole) -> int:
        """The size of a rollout of `n` tasks, in bytes."""
        return 4 * n * self.horizon * self.trajectories * (sum(self.sizes) + 3 + len(self.info))

    @checked
    def set_progress(self, fraction: UnitInterval) -> None:
        if self.gae_schedule is not None:
            discount, gae_lambda, duration = self.gae_schedule
            progress = min(1.0, fraction / duration)
            self.current_gae = (
                discount + progress * (self.discount - discount),
                gae_lambda + progress * (self.gae_lambda - gae_lambda),
            )

    @checked
    def sample(self, n: Count, rng: np.random.Generator) -> WorldTasks:
        return self.tasks(self.template.sample_tasks(n, rng), rng)

    @checked
    def tasks(self, goals: Any, rng: np.random.Generator) -> WorldTasks:
        """A meta-batch of the tasks `goals`, [T, …]."""
        rows = self.template.rows(goals)
        check(Count, len(rows), f"{self.template.name}: the number of tasks")
        return WorldTasks(self, rows, rng)


_locks: WeakKeyDictionary[WorldDistribution, RLock] = WeakKeyDictionary()  # not attributes, which would be copied

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_locks.clear)  # the threads that hold locks do not exist in the child


class WorldTasks(Tasks):
    """A meta-batch of T tasks, `given`: an array [T, …] or an array [T] of objects.

    With several processes, each one simulates the tasks `rows` of the meta-batch `whole`, and all of them sample the
    random numbers for the whole meta-batch. `env_steps` is the number of simulated steps. `measured` has the means [T]
    of the keys in `info` for each rollout so far.
    """

    def __init__(
        self, distribution: WorldDistribution, whole: np.ndarray, rng: np.random.Generator, rows: slice = slice(None)
    ) -> None:
        self.whole, self.rows, self.given, self.distribution, self.rng = whole, rows, whole[rows], distribution, rng
        self.n = len(self.given)
        self.env_steps = 0
        self.measured: list[dict[str, Tensor]] = []

    def share(self, rows: slice) -> WorldTasks:
        return WorldTasks(self.distribution, self.whole, self.rng, rows)

    @property
    def goals(self) -> np.ndarray:
        """The tasks as vectors, [T, task], or [T, 0] if they are objects."""
        return np.empty((self.n, 0)) if self.given.dtype == object else self.given.reshape(self.n, -1)

    @checked
    def support(self, predict: Predictor, step: int) -> Rollout:
        """A rollout of the policies after `step` inner steps, with the advantages of support batches."""
        return self.rollout(predict, *(self.distribution.inner_gae or self.distribution.current_gae))

    @checked
    def query(self, predict: Predictor) -> Rollout:
        """A rollout of the adapted policies."""
        return self.rollout(predict, *self.distribution.current_gae)

    @checked
    def score(self, predict: Predictor) -> Tensor:
        """The mean undiscounted returns [T] of new trajectories."""
        return episode_returns(self.trajectories(predict)).mean(-1)

    @checked
    def score_and_info(self, predict: Predictor) -> tuple[Tensor, dict[str, Tensor]]:
        """The mean returns [T], and the means [T] of the keys in the distribution's `info` in the same trajectories."""
        return self.score(predict), self.measured[-1]

    @checked
    def metrics(self, episodes: Episodes) -> dict[str, float]:
        """The mean returns and keys in `info` after k inner steps, `return_k` and KEY_k, and the number `env_steps`."""
        batches = [*episodes.support, *([episodes.query] if episodes.query else [])]
        means = {f"return_{k}": float(of_all_tasks(episode_returns(batch)).mean()) for k, batch in enumerate(batches)}
        for k, measured in enumerate(self.measured[: len(batches)]):
            means |= {f"{name}_{k}": float(of_all_tasks(values).nanmean()) for name, values in measured.items()}
        return {**means, "env_steps": float(sum(gather(self.env_steps)))}

    @checked
    def rollout(self, predict: Predictor, discount: UnitInterval, gae_lambda: UnitInterval) -> Rollout:
        """New trajectories with their advantages."""
        found = self.trajectories(predict)
        gae = advantages(found.observations, found.rewards, found.mask, discount=discount, gae_lambda=gae_lambda)
        return Rollout(found.observations, found.actions, found.log_probs, gae, found.rewards, found.mask)

    @checked
    def trajectories(self, predict: Predictor) -> Trajectories:
        """New trajectories: one episode in every sub-environment, with the policy of its task."""
        policies = count_tasks(predict.states, "the predictor's states")
        if policies != self.n:
            raise ValueError(f"the predictor has {policies} tasks, but there are {self.n}: adapt it to these tasks")
        with self.distribution.lock:
            return self._simulate(predict)

    def _simulate(self, predict: Predictor) -> Trajectories:
        options = self.distribution
        tasks, envs, horizon = self.n, options.trajectories, options.horizon
        obs_size, act_size = options.sizes
        parts = options.simulator.parts(tasks, parallel=predict.learner.in_numpy)
        record = Recorder(
            options.recordings, tasks, horizon, envs,
            device=options.device, staged=options.device.type != "cpu", writers=parts,
        )  # fmt: skip
        sizes = ((obs_size,), (act_size,), (), (), (), (len(options.info),))
        fields = [record.field(*size) for size in sizes]
        noise = self._first_distribution(predict).noise(self.rng, (horizon, len(self.whole), envs))[:, self.rows]
        given, whole = np.repeat(self.given, envs, axis=0), np.repeat(self.whole, envs, axis=0)
        begin, end, _ = self.rows.indices(len(self.whole))
        start = [state[begin * envs : end * envs] for state in options.template.initial(whole, self.rng)]
        shares = []
        for rows in split_evenly(tasks, parts):
            simulated = slice(rows.start * envs, rows.stop * envs)
            shares.append(Share(rows, given[simulated], tuple(state[simulated] for state in start), noise[:, rows]))
        diverged = options.simulator.run(shares, predict, fields, scale=options.action_scale, written=record.written)
        self.env_steps += int(fields[4].sum())
        if diverged.any():
            self._report(diverged)
        found = Trajectories(*record.tensors())
        self.measured.append(reduced(options.info, found.info, found.mask))
        return found

    def _first_distribution(self, predict: Predictor) -> ActionDistribution:
        """The action distribution of the first policy for observations of zeros, whose type and shapes are checked."""
        zeros = np.zeros((1, self.distribution.trajectories, self.distribution.sizes[0]), np.float32)
        distribution = as_distribution(predict.arrays(slice(0, 1))(zeros))
        check_fits(distribution, self.distribution.template.action_space)
        distribution.sample(distribution.noise(np.random.default_rng(0), zeros.shape[:2]))  # raises for wrong shapes
        return distribution

    def _report(self, diverged: np.ndarray) -> None:
        first = int(diverged.argmax())
        log.warning(
            "the physics diverged in %d of %d trajectories of %s (first: number %d, task %s), which end there",
            diverged.sum(), len(diverged), self.distribution.template.name, first,
            self.given[first // self.distribution.trajectories],
        )  # fmt: skip


def episode_returns(batch: Rollout | Trajectories) -> Tensor:
    """The undiscounted returns [T, N] of a rollout."""
    return (batch.rewards * batch.mask).sum(1)
