"""Settings of reinforcement learning in an environment with a registered id, and of the policy network."""

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
from metarl.experiments.config.settings import METHOD_SETTING, Cores, Fraction, Number, Width, check_hidden
from metarl.learners.gradient import GradientLearner
from metarl.nets.policy import MLPPolicy
from metarl.nets.spaces import policy_for
from metarl.ranges import Positive, Range, UnitInterval
from metarl.rl.losses import mean_kl, surrogate
from metarl.rl.rollout import WorldDistribution
from metarl.sampling import check_memory
from metarl.tasks.datasets.folder import Split
from metarl.train import Stream, generator

Deviation = Annotated[float, Range(0, 10, above=True)]
"""A standard deviation of a policy's output, above 0 and at most 10."""


@dataclass(frozen=True)
class EnvironmentSettings(TaskSettings):
    """Reinforcement learning in an environment whose tasks vary."""

    env: str = "metarl/HalfCheetahVel-v0"
    """id of the environment; my_module:me/MyTask-v0 is an environment that my_module registers in Gymnasium"""
    test_env: str | None = None
    """id of the environment of the test tasks; None: that of the training tasks"""
    trajectories: Number = 20
    """number of episodes per task in each support or query batch"""
    train_trajectories: Number | None = field(default=None, metadata=METHOD_SETTING)
    """number of episodes per task in each batch in training; None: equal to `trajectories`"""
    horizon: Number | None = None
    """maximum number of steps of an episode; None: the time limit of the environment"""
    discount: UnitInterval = field(default=0.99, metadata=METHOD_SETTING)
    """discount γ of the returns from which advantages are estimated"""
    gae_lambda: UnitInterval = field(default=1.0, metadata=METHOD_SETTING)
    """λ of generalised advantage estimation"""
    gae_schedule: tuple[UnitInterval, UnitInterval, Fraction] | None = field(default=None, metadata=METHOD_SETTING)
    """initial discount, initial gae_lambda, and the fraction of training in which they reach their final values"""
    inner_gae: tuple[UnitInterval, UnitInterval] | None = field(default=None, metadata=METHOD_SETTING)
    """discount and gae_lambda of support batches, in training and in tests; None: those of query batches"""
    hidden: tuple[Width, ...] = field(default=(100, 100), metadata=METHOD_SETTING)
    """number of units of each hidden layer of the policy"""
    activation: Literal["relu", "tanh"] = field(default="relu", metadata=METHOD_SETTING)
    """activation function of the hidden layers of the policy"""
    action_scale: Positive = field(default=1.0, metadata=METHOD_SETTING)
    """factor by which policy outputs are multiplied; 1: an output of 1 is the upper bound of the action space"""
    init_std: Deviation = field(default=1.0, metadata=METHOD_SETTING)
    """initial standard deviation of the output of a Gaussian policy"""
    min_std: Deviation = field(default=1e-6, metadata=METHOD_SETTING)
    """minimum standard deviation of the output of a Gaussian policy"""
    normalise: bool = field(default=False, metadata=METHOD_SETTING)
    """normalise observations with the mean and standard deviation that a random policy observes before training"""
    observe_goal: bool = field(default=False, metadata=METHOD_SETTING)
    """append the task to the observations, as for an oracle"""
    info: tuple[str, ...] = ()
    """keys of the environment's info dictionary whose means over episodes are reported in addition to the return"""
    info_max: tuple[str, ...] = ()
    """keys of the info dictionary whose maximum in each episode is reported, such as success"""
    workers: Cores = field(default=0, metadata=METHOD_SETTING)
    """number of processes that simulate an environment written for Gymnasium; 0: the number of simulator threads"""

    loss = staticmethod(surrogate)
    divergence = staticmethod(mean_kl)

    def check_together(self) -> None:
        check_hidden(self.hidden, "hidden")
        if self.min_std > self.init_std:
            raise ValueError(f"min_std is {self.min_std}, more than init_std, {self.init_std}: give min_std ≤ init_std")
        if both := set(self.info) & set(self.info_max):
            raise ValueError(f"info_max has {min(both)!r}, which is also in info: leave it out of one of them")
        try:
            if self.env.startswith("metarl/"):
                world_class(self.env)  # environments of other packages may be slow to create
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
        """The number of episodes per task in each batch in training."""
        return self.trajectories if self.train_trajectories is None else self.train_trajectories

    @property
    def episode_steps(self) -> int:  # type: ignore[override]
        """The maximum number of steps of an episode."""
        return self.horizon or default_horizon(self.env)

    def in_fraction(self, fraction: float) -> EnvironmentSettings:
        """These settings with a GAE schedule that takes as many environment steps as in the whole run."""
        if self.gae_schedule is None:
            return self
        discount, gae_lambda, share = self.gae_schedule
        return replace(self, gae_schedule=(discount, gae_lambda, min(1.0, share / fraction)))

    def quick(self, config: Any) -> Any:
        return config.algorithm.quick(replace(config, task=replace(self, trajectories=10)))

    def given(self, distribution: Distribution) -> Given:
        return {"net": lambda: self.net(distribution), "loss": lambda: surrogate}

    def net(self, distribution: Any) -> MLPPolicy:
        """A policy network with fresh weights for the spaces of the environment."""
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
    """The time limit of the environment with the id `env`, in steps."""
    kind: Any = _kind(env)
    return int(getattr(kind, "default_horizon", None) or kind(1).default_horizon)


def _kind(env: str) -> Any:
    """A function that creates worlds of the environment with the id `env`. Raises ValueError if it does not exist."""
    if not env:
        raise ValueError("task.env is not given: give the id of an environment by --task.env my_module:me/MyTask-v0")
    return kind_of(env)


def first_observations(policy: MLPPolicy, distribution: WorldDistribution) -> torch.Tensor:
    """The observations [n, obs], on the CPU, that `policy` meets in ten tasks, which are the same in every run."""
    learner = GradientLearner(policy, surrogate, steps=0)
    rng = generator(Stream.INIT, 0)
    check_memory(distribution, 10)
    tasks = distribution.sample(10, rng)
    rollout = tasks.trajectories(next(adapt(learner, tasks, steps=0))[0])
    return rollout.observations[rollout.mask.bool()].cpu()
