"""Guided meta-policy search: the outer loop imitates a policy that observes the task (Mendonca et al. 2019).

The inner loop stays what it is in tests, a policy-gradient step on rewards. The meta-gradient is a supervised one: it
has little noise where a policy gradient after adaptation is mostly noise, as on the ants.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from metarl.core import Distribution, Episodes, Learner, Predict, Predictor, Tasks
from metarl.envs.informed import informed
from metarl.nets.policy import MLPPolicy
from metarl.ranges import Count, checked
from metarl.rl.distributions import ActionDistribution, as_distribution
from metarl.rl.losses import Rollout, mean_kl
from metarl.rl.rollout import WorldDistribution, WorldTasks

Expert = Callable[[Tensor, Tensor], ActionDistribution]
"""Observations [T, H, N, obs] and tasks [T, task] to the distribution of what to do there, of the policy's kind.

Its leaves are [T, H, N, …], or [act] for a Gaussian's log-std that is the same everywhere.
"""


class Guidance(NamedTuple):
    """What an expert would have done in the states that adapted policies came to; without T for one task."""

    observations: Tensor  # [T, H, N, obs]
    expert: Any  # the distribution of the expert's actions: leaves [T, H, N, …], or [T, act]
    rewards: Tensor  # [T, H, N], of the adapted policies
    mask: Tensor  # [T, H, N], 1 or 0


@checked
def imitation(predict: Predict, batch: Guidance) -> Tensor:
    """KL(expert ‖ policy), the mean over the visited states: how Mendonca et al. 2019 imitate, in closed form."""
    return mean_kl(predict(batch.observations), batch.expert, batch)


def expert_of(learner: Learner, its_tasks: Distribution, tasks: WorldDistribution) -> Expert:
    """The policy of `learner`, which was trained on `its_tasks` and observes them, as an expert for `tasks`.

    Raises ValueError for a learner that has no policy, or that acts in another environment or on another scale.
    """
    net, name = getattr(learner, "net", None), tasks.template.name
    if not isinstance(net, MLPPolicy) or not isinstance(its_tasks, WorldDistribution):
        raise ValueError(f"a {type(learner).__name__} has no policy to imitate: give a policy that observes the task")
    if type(its_tasks.template) is not informed(type(tasks.template)):
        raise ValueError(
            f"this policy acts in {its_tasks.template.name}, and is no expert for {name}: give one of a policy that "
            "observes the task there, TASK-oracle"
        )
    if its_tasks.action_scale != tasks.action_scale:
        raise ValueError(
            f"the expert scales actions by {its_tasks.action_scale}, this run by {tasks.action_scale}: one "
            "--task.action-scale for both"
        )
    return goal_conditioned(net)


@checked
def goal_conditioned(policy: MLPPolicy) -> Expert:
    """`policy`, whose observations end with the task, as an expert."""

    def expert(observations: Tensor, tasks: Tensor) -> ActionDistribution:
        inputs = torch.cat([observations, tasks[:, None, None].expand(*observations.shape[:-1], -1)], -1)
        if inputs.shape[-1] != len(policy.shift):
            raise ValueError(
                f"the expert takes {len(policy.shift)} observations, and is shown {observations.shape[-1]} and a task "
                f"of {tasks.shape[-1]}: train it in this environment, informed"
            )
        return as_distribution(policy(inputs))

    return expert


def _labels(found: Any, actions: Tensor) -> ActionDistribution:
    """What an expert found, if it is a distribution over actions [T, H, N, act]; every leaf [T, …]."""
    leaves = tree_leaves(as_distribution(found))
    shapes, states = [tuple(leaf.shape) for leaf in leaves], tuple(actions.shape[:-1])
    if any(shape[:-1] not in (states, ()) for shape in shapes):
        raise ValueError(f"an expert's labels have shapes {shapes}: give {states} and the numbers of each state")
    if not all(leaf.isfinite().all() for leaf in leaves):
        raise ValueError("an expert's labels are not finite: look for NaN in it")
    found.log_prob(actions)  # raises ValueError for a distribution over other actions
    return tree_map(lambda leaf: leaf if leaf.dim() > 1 else leaf.repeat(len(actions), 1), found)


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

    def set_progress(self, fraction: float) -> None:
        self.distribution.set_progress(fraction)


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
            labels = _labels(self.expert(seen.observations, goals), seen.actions)
        return Guidance(seen.observations, labels, seen.rewards, seen.mask)

    def share(self, rows: slice) -> GuidedTasks:
        return GuidedTasks(self.tasks.share(rows), self.expert)

    def score(self, predict: Predictor) -> Tensor:
        return self.tasks.score(predict)

    def score_and_info(self, predict: Predictor) -> tuple[Tensor, dict[str, Tensor]]:
        return self.tasks.score_and_info(predict)

    def metrics(self, episodes: Episodes) -> dict[str, float]:
        return self.tasks.metrics(episodes)
