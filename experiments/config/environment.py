"""Settings of an environment, any that metarl or Gymnasium knows by an id, and of the policy that acts in it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache
from typing import Annotated, Any, Literal

import torch

from metarl.core import Distribution, adapt
from metarl.envs import world_class
from metarl.envs.informed import informed
from metarl.envs.sources import kind_of
from metarl.experiments.config.parts import Given, TaskSettings
from metarl.experiments.config.settings import METHODS_OWN, Cores, Fraction, Number, Width, check_hidden
from metarl.learners.gradient import GradientLearner
from metarl.nets.policy import MLPPolicy
from metarl.nets.spaces import policy_for
from metarl.ranges import Positive, Range, UnitInterval
from metarl.rl.losses import mean_kl, surrogate
from metarl.rl.rollout import WorldDistribution
from metarl.sampling import check_memory
from metarl.tasks.folder import Split
from metarl.train import Stream, generator

Deviation = Annotated[float, Range(0, 10, above=True)]
"""A standard deviation of a policy's output, which is at most 10."""


@dataclass(frozen=True)
class EnvironmentSettings(TaskSettings):
    """An environment and the policy that acts in it."""

    env: str = "metarl/HalfCheetahVel-v0"
    """id of an environment with tasks: metarl's own, or my_module:me/MyTask-v0 for one that my_module registers"""
    test_env: str | None = None
    """id of the environment of the test tasks, where training has another; None: the same"""
    trajectories: Number = 20
    """episodes a task for each batch"""
    train_trajectories: Number | None = field(default=None, metadata=METHODS_OWN)
    """episodes a task for each batch in training, where they differ"""
    horizon: Number | None = None
    """steps an episode; None: the environment's own time limit"""
    discount: UnitInterval = field(default=0.99, metadata=METHODS_OWN)
    """γ of the returns that advantages are of"""
    gae_lambda: UnitInterval = field(default=1.0, metadata=METHODS_OWN)
    """λ of the advantage estimates"""
    gae_schedule: tuple[UnitInterval, UnitInterval, Fraction] | None = field(default=None, metadata=METHODS_OWN)
    """discount and gae_lambda as training begins, and the share of it over which they come to those above"""
    inner_gae: tuple[UnitInterval, UnitInterval] | None = field(default=None, metadata=METHODS_OWN)
    """discount and gae_lambda of support batches, in training and tests; None: as query's"""
    hidden: tuple[Width, ...] = field(default=(100, 100), metadata=METHODS_OWN)
    """units of each hidden layer of the policy"""
    activation: Literal["relu", "tanh"] = field(default="relu", metadata=METHODS_OWN)
    """activation of the hidden layers"""
    action_scale: Positive = field(default=1.0, metadata=METHODS_OWN)
    """what the environment receives for a policy output of 1, in units of half the action range"""
    init_std: Deviation = field(default=1.0, metadata=METHODS_OWN)
    """standard deviation of a Gaussian policy's output at the start"""
    min_std: Deviation = field(default=1e-6, metadata=METHODS_OWN)
    """standard deviation that a Gaussian policy keeps at least"""
    normalise: bool = field(default=False, metadata=METHODS_OWN)
    """shift and scale observations as a random policy sees them, fixed before training"""
    observe_goal: bool = field(default=False, metadata=METHODS_OWN)
    """the observations end with the task: an oracle's"""
    info: tuple[str, ...] = ()
    """keys of the environment's info whose means over episodes are reported beside the return"""
    info_max: tuple[str, ...] = ()
    """keys of which the largest value of each episode counts, such as success"""
    workers: Cores = field(default=0, metadata=METHODS_OWN)
    """processes that simulate an ordinary environment of Gymnasium; 0: as many as simulator threads"""

    loss = staticmethod(surrogate)
    divergence = staticmethod(mean_kl)

    def check_together(self) -> None:
        check_hidden(self.hidden, "hidden")
        if self.min_std > self.init_std:
            raise ValueError(f"min_std is {self.min_std}, more than init_std, {self.init_std}: give min_std ≤ init_std")
        if both := set(self.info) & set(self.info_max):
            raise ValueError(f"info_max has {min(both)!r}, and so has info: leave it out of one of them")
        try:
            if self.env.startswith("metarl/"):
                world_class(self.env)  # others may be slow to make
        except ValueError as error:
            raise ValueError(f"env: {error}") from None

    def distribution(self, device: torch.device, *, threads: int, split: Split) -> WorldDistribution:
        env = self.test_env if split == "test" and self.test_env is not None else self.env
        kind = _kind(env)
        info = {**dict.fromkeys(self.info, "mean"), **dict.fromkeys(self.info_max, "max")}
        return WorldDistribution(
            informed(kind) if self.observe_goal else env,
            trajectories=self.episodes if split == "train" else self.trajectories, horizon=self.horizon,
            discount=self.discount, gae_lambda=self.gae_lambda,
            gae_schedule=self.gae_schedule if split == "train" else None, inner_gae=self.inner_gae,
            action_scale=self.action_scale, threads=threads, device=device, info=info, workers=self.workers,
        )  # fmt: skip

    @property
    def episodes(self) -> int:  # type: ignore[override]
        """Episodes a task for each batch in training."""
        return self.trajectories if self.train_trajectories is None else self.train_trajectories

    @property
    def episode_steps(self) -> int:  # type: ignore[override]
        """Steps an episode."""
        return self.horizon or default_horizon(self.env)

    def in_fraction(self, fraction: float) -> EnvironmentSettings:
        """The same with credit that lengthens over as many environment steps as in the whole run."""
        if self.gae_schedule is None:
            return self
        discount, gae_lambda, share = self.gae_schedule
        return replace(self, gae_schedule=(discount, gae_lambda, min(1.0, share / fraction)))

    def quick(self, config: Any) -> Any:
        return config.algorithm.quick(replace(config, task=replace(self, trajectories=10)))

    def given(self, distribution: Distribution) -> Given:
        return {"net": lambda: self.net(distribution), "loss": lambda: surrogate}

    def net(self, distribution: Any) -> MLPPolicy:
        world = distribution.template
        policy = policy_for(
            world.observation_space, world.action_space, hidden=self.hidden,
            activation=self.activation, init_std=self.init_std, min_std=self.min_std,
        )  # fmt: skip
        if self.normalise:
            policy.normalise(first_observations(policy, distribution))
        return policy


@cache
def default_horizon(env: str) -> int:
    """The time limit of the environment `env`, in steps."""
    kind: Any = _kind(env)
    return int(getattr(kind, "default_horizon", None) or kind(1).default_horizon)


def _kind(env: str) -> Any:
    """What makes worlds of `env`. Raises ValueError where none is given, or there is no such environment."""
    if not env:
        raise ValueError("task.env is not given: name the environment, --task.env my_module:me/MyTask-v0")
    return kind_of(env)


def first_observations(policy: MLPPolicy, distribution: WorldDistribution) -> torch.Tensor:
    """What `policy` sees on ten tasks, always the same: [n, obs], on the CPU."""
    learner = GradientLearner(policy, surrogate, steps=0)
    rng = generator(Stream.INIT, 0)
    check_memory(distribution, 10)
    tasks = distribution.sample(10, rng)
    seen = tasks.trajectories(next(adapt(learner, tasks, steps=0))[0])
    return seen.observations[seen.mask.bool()].cpu()
