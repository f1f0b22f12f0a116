"""Rollouts of all tasks and trajectories at once: environments as tasks of the core."""

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
from metarl.rl.in_turn import InTurn
from metarl.rl.info import reduced, reductions
from metarl.rl.loop import Share, Simulator, even
from metarl.rl.losses import Rollout
from metarl.rl.memory import Memory, Recorder
from metarl.rl.together import Together
from metarl.rl.workers import Workers
from metarl.trees import count_tasks

log = logging.getLogger(__name__)


class Trajectories(NamedTuple):
    """What was seen and done, as in `Rollout`, before advantages: leaves [T, H, N, …]."""

    observations: Tensor
    actions: Tensor
    log_probs: Tensor
    rewards: Tensor
    mask: Tensor
    info: Tensor  # [T, H, N, K] of the K names that are asked for, NaN where a step's info lacks one


class WorldDistribution(Distribution):
    """Tasks of any environment, each met through `trajectories` episodes of `horizon` steps a batch.

    `env` is an id such as "metarl/HalfCheetahVel-v0" or, where a module registers it, "my_module:me/MyTask-v0"; a
    gymnasium.Env class or a function that makes one; or a World class or a function (num_envs, *, threads) that makes
    one. `horizon` is the environment's time limit by default.

    An ordinary environment is given its task by `set_task` (a function of environment and task), by its own method
    `set_task` or `reset_task`, or by `reset(options={"task": task})`, before it is reset with a seed that is drawn for
    the episode. Tasks are arrays, dicts or any objects; `sample_tasks(n, rng)` draws them, or they come from
    `task_space`, or from the environment's own method or attribute of these names. Observations are flattened by
    Gymnasium. It is simulated in `workers` processes (0: as many as `threads`; 1: in this process), whose number does
    not change a bit of the results. An episode that is terminated ends, and so does one that is truncated before the
    horizon: no value is added after its last step (`metarl.rl.advantages.gae`).

    `info` names what is measured beside the return: keys of an ordinary environment's info, or the reward's parts and
    quantities of a World's steps. It is the mean over each episode's steps that have the key or, by
    {"success": "max"}, the largest; then the mean over episodes.

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
        self.gae_schedule, self.credit = gae_schedule, (discount, gae_lambda)  # the latter: γ and λ now
        self.inner_gae = inner_gae
        self.template = self.world(1)
        shape, actions = self.template.observation_space.shape, distribution_for(self.template.action_space)
        if len(shape) != 1:
            raise ValueError(f"{self.template.name}: observations have the shape {shape}: make them flat")
        self.sizes = shape[0], actions.size  # numbers in an observation, in an action
        self.horizon = self.template.default_horizon if horizon is None else horizon
        check(Count, self.horizon, f"default_horizon of {self.template.name}")
        self.recordings = Memory()
        self.simulator = self._simulator(workers)

    def _simulator(self, workers: int) -> Simulator:
        if isinstance(self.kind, Tasked):
            count = workers or (self.threads or cores() if os.name == "posix" else 1)
            return (InTurn if count == 1 else Workers)(self.kind, envs=self.trajectories, count=count)
        if workers:
            raise ValueError(f"workers is {workers}: {self.template.name} is a World, which is simulated on threads")
        return Together(self.kind, envs=self.trajectories, threads=self.threads, info=tuple(self.info))

    @checked
    def world(self, num_envs: Count, threads: Whole | None = None) -> World:
        """A new batch of `num_envs` sub-environments, on `threads` or the distribution's own number of threads."""
        return build(self.kind, num_envs, threads=self.threads if threads is None else threads)

    @property
    def lock(self) -> RLock:
        """The lock of whoever simulates: worlds are kept, and used again."""
        return _locks.setdefault(self, RLock())

    @checked
    def memory(self, n: Whole) -> int:
        """The bytes of what one rollout of `n` tasks records."""
        return 4 * n * self.horizon * self.trajectories * (sum(self.sizes) + 3 + len(self.info))

    @checked
    def set_progress(self, fraction: UnitInterval) -> None:
        if self.gae_schedule is not None:
            discount, gae_lambda, whole = self.gae_schedule
            way = min(1.0, fraction / whole)
            self.credit = (
                discount + way * (self.discount - discount),
                gae_lambda + way * (self.gae_lambda - gae_lambda),
            )

    @checked
    def sample(self, n: Count, rng: np.random.Generator) -> WorldTasks:
        return self.tasks(self.template.sample_tasks(n, rng), rng)

    @checked
    def tasks(self, goals: Any, rng: np.random.Generator) -> WorldTasks:
        """The given tasks [T, …] as a meta-batch."""
        rows = self.template.rows(goals)
        check(Count, len(rows), f"{self.template.name}: the number of tasks")
        return WorldTasks(self, rows, rng)


_locks: WeakKeyDictionary[WorldDistribution, RLock] = WeakKeyDictionary()  # beside what can then be copied

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_locks.clear)  # what holds one is not in the child


class WorldTasks(Tasks):
    """T tasks (`given` [T, …], or [T] of objects) in T × N sub-environments.

    `env_steps` counts the steps that were simulated, `measured` has the means [T] of what `info` names, by name, of
    each rollout so far. Of the meta-batch `whole`, for all of which random numbers are drawn, `given` are those of
    `rows`, which are simulated; in one process they are all.
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
        """The tasks as rows of numbers, [T, task]; [T, 0] where they are objects."""
        return np.empty((self.n, 0)) if self.given.dtype == object else self.given.reshape(self.n, -1)

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
    def score_and_info(self, predict: Predictor) -> tuple[Tensor, dict[str, Tensor]]:
        """`score`, and what the distribution's `info` names of the same trajectories, [T] each."""
        return self.score(predict), self.measured[-1]

    @checked
    def metrics(self, episodes: Episodes) -> dict[str, float]:
        """Mean return after k inner steps, `return_k`, what `info` names, and the steps taken, `env_steps`."""
        batches = [*episodes.support, *([episodes.query] if episodes.query else [])]
        found = {f"return_{k}": float(of_all_tasks(episode_returns(batch)).mean()) for k, batch in enumerate(batches)}
        for k, measured in enumerate(self.measured[: len(batches)]):
            found |= {f"{name}_{k}": float(of_all_tasks(values).nanmean()) for name, values in measured.items()}
        return {**found, "env_steps": float(sum(gather(self.env_steps)))}

    @checked
    def rollout(self, predict: Predictor, discount: UnitInterval, gae_lambda: UnitInterval) -> Rollout:
        """Fresh `trajectories` with their advantages."""
        seen = self.trajectories(predict)
        gains = advantages(seen.observations, seen.rewards, seen.mask, discount=discount, gae_lambda=gae_lambda)
        return Rollout(seen.observations, seen.actions, seen.log_probs, gains, seen.rewards, seen.mask)

    @checked
    def trajectories(self, predict: Predictor) -> Trajectories:
        """One episode in every sub-environment, with the actions of each task's own policy."""
        policies = count_tasks(predict.states, "the predictor's states")
        if policies != self.n:
            raise ValueError(f"the predictor is of {policies} tasks, and there are {self.n}: adapt it to these")
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
        noise = self._drawing(predict).noise(self.rng, (horizon, len(self.whole), envs))[:, self.rows]
        given, drawn = np.repeat(self.given, envs, axis=0), np.repeat(self.whole, envs, axis=0)
        begin, end, _ = self.rows.indices(len(self.whole))
        start = [state[begin * envs : end * envs] for state in options.template.initial(drawn, self.rng)]
        shares = []
        for rows in even(tasks, parts):
            simulated = slice(rows.start * envs, rows.stop * envs)
            shares.append(Share(rows, given[simulated], tuple(state[simulated] for state in start), noise[:, rows]))
        diverged = options.simulator.run(shares, predict, fields, scale=options.action_scale, written=record.written)
        self.env_steps += int(fields[4].sum())
        if diverged.any():
            self._report(diverged)
        seen = Trajectories(*record.tensors())
        self.measured.append(reduced(options.info, seen.info, seen.mask))
        return seen

    def _drawing(self, predict: Predictor) -> ActionDistribution:
        """What the policies give for observations, here of zeros: the kind of distribution that will be drawn from."""
        zeros = np.zeros((1, self.distribution.trajectories, self.distribution.sizes[0]), np.float32)
        distribution = as_distribution(predict.arrays(slice(0, 1))(zeros))
        check_fits(distribution, self.distribution.template.action_space)
        distribution.sample(distribution.noise(np.random.default_rng(0), zeros.shape[:2]))  # whose shapes may not fit
        return distribution

    def _report(self, diverged: np.ndarray) -> None:
        first = int(diverged.argmax())
        log.warning(
            "physics diverged in %d of %d trajectories of %s (first: number %d, task %s); each was cut there",
            diverged.sum(), len(diverged), self.distribution.template.name, first,
            self.given[first // self.distribution.trajectories],
        )  # fmt: skip


def episode_returns(batch: Rollout | Trajectories) -> Tensor:
    """Undiscounted returns [T, N]."""
    return (batch.rewards * batch.mask).sum(1)
