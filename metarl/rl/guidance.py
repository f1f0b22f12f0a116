"""Guided meta-policy search: the outer loop imitates a policy that is told the task (Mendonca et al. 2019).

The inner loop stays what it is in tests, a policy-gradient step on rewards. The meta-gradient is a supervised one: it
has little noise where a policy gradient after adaptation is mostly noise, as on the ants.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from metarl.core import Distribution, Episodes, Predict, Predictor, Tasks
from metarl.nets.policy import GaussianPolicy
from metarl.ranges import Count, checked, shown
from metarl.rl.losses import Gaussian, Rollout, gaussian_kl
from metarl.rl.rollout import WorldDistribution, WorldTasks

Expert = Callable[[Tensor, Tensor], Gaussian]
"""Observations [T, H, N, obs] and tasks [T, task] to means [T, H, N, act] and log-std [act], of what to do there."""


class Guidance(NamedTuple):
    """What an expert would have done in the states that adapted policies came to; without T for one task."""

    observations: Tensor  # [T, H, N, obs]
    mean: Tensor  # [T, H, N, act], of the expert's actions
    log_std: Tensor  # [T, act]
    rewards: Tensor  # [T, H, N], of the adapted policies
    mask: Tensor  # [T, H, N], 1 or 0


@checked
def imitation(predict: Predict, batch: Guidance) -> Tensor:
    """KL(expert ‖ policy), the mean over the visited states: how Mendonca et al. 2019 imitate, in closed form."""
    return gaussian_kl(predict(batch.observations), (batch.mean, batch.log_std), batch)


@checked
def told(policy: GaussianPolicy) -> Expert:
    """`policy`, whose observations end with the task, as an expert."""

    def expert(observations: Tensor, tasks: Tensor) -> Gaussian:
        inputs = torch.cat([observations, tasks[:, None, None].expand(*observations.shape[:-1], -1)], -1)
        if inputs.shape[-1] != len(policy.shift):
            raise ValueError(
                f"the expert takes {len(policy.shift)} observations, and is shown {observations.shape[-1]} and a task "
                f"of {tasks.shape[-1]}: train it in this environment, informed"
            )
        mean, log_std = policy(inputs)
        return mean, log_std

    return expert


def _labels(found: Any, actions: Tensor) -> Gaussian:
    """What an expert found, if it is a Gaussian over actions [T, H, N, act]."""
    if not isinstance(found, tuple) or len(found) != 2 or not all(isinstance(part, Tensor) for part in found):
        raise ValueError(f"an expert's labels are {shown(found)}: give two tensors, means and log standard deviations")
    shapes, wanted = [tuple(part.shape) for part in found], [tuple(actions.shape), tuple(actions.shape[-1:])]
    if shapes != wanted:
        raise ValueError(f"an expert's labels have shapes {shapes[0]} and {shapes[1]}: give {wanted[0]}, {wanted[1]}")
    if not all(part.isfinite().all() for part in found):
        raise ValueError("an expert's labels are not finite: look for NaN in it")
    return found[0], found[1]


class Guided(Distribution):
    """The tasks of `distribution`, whose query batches are an `expert`'s `Guidance`, not policy gradients.

    States are those that the adapted policies themselves visit (as in DAgger, Ross et al. 2011), so nothing has to be
    demonstrated, and small errors do not lead to states that the expert never labelled.
    """

    metric = WorldDistribution.metric

    @checked
    def __init__(self, distribution: WorldDistribution, expert: Expert) -> None:
        self.distribution, self.expert = distribution, expert

    @checked
    def sample(self, n: Count, rng: np.random.Generator) -> GuidedTasks:
        return GuidedTasks(self.distribution.sample(n, rng), self.expert)

    def memory(self, n: int) -> int:
        return self.distribution.memory(n)

    def progress(self, share: float) -> None:
        self.distribution.progress(share)


class GuidedTasks(Tasks):
    """`tasks` with guidance as the query."""

    def __init__(self, tasks: WorldTasks, expert: Expert) -> None:
        self.n, self.tasks, self.expert = tasks.n, tasks, expert

    def support(self, predict: Predictor, step: int) -> Rollout:
        return self.tasks.support(predict, step)

    def query(self, predict: Predictor) -> Guidance:
        seen = self.tasks.trajectories(predict)
        goals = torch.as_tensor(self.tasks.goals, dtype=seen.observations.dtype, device=seen.observations.device)
        with torch.no_grad():
            mean, log_std = _labels(self.expert(seen.observations, goals), seen.actions)
        return Guidance(seen.observations, mean, log_std.repeat(self.n, 1), seen.rewards, seen.mask)

    def score(self, predict: Predictor) -> Tensor:
        return self.tasks.score(predict)

    def metrics(self, episodes: Episodes) -> dict[str, float]:
        return self.tasks.metrics(episodes)
