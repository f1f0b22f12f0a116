"""Guided meta-policy search: adapted policies are trained to imitate an expert (Mendonca et al. 2019).

The expert is a policy that observes the task. The inner loop consists of policy-gradient steps on rewards, as in tests.
The meta-gradient is that of a supervised loss, which has much less variance than a policy gradient after adaptation.
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
"""A function of observations [T, H, N, obs] and tasks [T, task] that returns the distribution of the expert's actions.

The distribution has the same type as that of the policy. Its leaves are [T, H, N, …], or [act] for the log-std of a
Gaussian if it is the same for all observations.
"""


class Guidance(NamedTuple):
    """The expert's actions in the states that adapted policies visit; without T for one task."""

    observations: Tensor  # [T, H, N, obs]
    expert: Any  # the distribution of the expert's actions, with leaves [T, H, N, …] or [T, act]
    rewards: Tensor  # [T, H, N], of the adapted policies
    mask: Tensor  # [T, H, N], 1 or 0


@checked
def imitation(predict: Predict, batch: Guidance) -> Tensor:
    """The mean of KL(expert ‖ policy) over the visited states: the loss of Mendonca et al. 2019 in closed form."""
    return mean_kl(predict(batch.observations), batch.expert, batch)


def expert_of(learner: Learner, its_tasks: Distribution, tasks: WorldDistribution) -> Expert:
    """The policy of `learner`, which observes its task and was trained on `its_tasks`, as an expert for `tasks`.

    Raises ValueError for a learner without a policy, and for one with another environment or action scale.
    """
    net, name = getattr(learner, "net", None), tasks.template.name
    if not isinstance(net, MLPPolicy) or not isinstance(its_tasks, WorldDistribution):
        raise ValueError(f"a {type(learner).__name__} has no policy to imitate: give a policy that observes the task")
    if its_tasks.kind != informed(tasks.kind):
        raise ValueError(
            f"this policy acts in {its_tasks.template.name}, and is no expert for {name}: give a policy that observes "
            "the task in that environment, which TASK-oracle trains"
        )
    if its_tasks.action_scale != tasks.action_scale:
        raise ValueError(
            f"the expert scales actions by {its_tasks.action_scale}, this run by {tasks.action_scale}: use the same "
            "--task.action-scale for both"
        )
    return goal_conditioned(net)


@checked
def goal_conditioned(policy: MLPPolicy) -> Expert:
    """A policy whose observations end with the task, as an expert."""

    def expert(observations: Tensor, tasks: Tensor) -> ActionDistribution:
        inputs = torch.cat([observations, tasks[:, None, None].expand(*observations.shape[:-1], -1)], -1)
        if inputs.shape[-1] != len(policy.shift):
            raise ValueError(
                f"the expert takes {len(policy.shift)} observations, but there are {observations.shape[-1]} and a task "
                f"of {tasks.shape[-1]}: train it in this environment with the task in its observations"
            )
        return as_distribution(policy(inputs))

    return expert


def _labels(outputs: Any, actions: Tensor) -> ActionDistribution:
    """The outputs of an expert, checked to be a distribution of actions [T, H, N, act], with all leaves [T, …]."""
    leaves = tree_leaves(as_distribution(outputs))
    shapes, states = [tuple(leaf.shape) for leaf in leaves], tuple(actions.shape[:-1])
    if any(shape[:-1] not in (states, ()) for shape in shapes):
        raise ValueError(f"an expert's outputs have shapes {shapes}: give {states} and one more axis")
    if not all(leaf.isfinite().all() for leaf in leaves):
        raise ValueError("an expert's outputs are not finite: look for NaN in it")
    outputs.log_prob(actions)  # raises ValueError for a distribution of other actions
    return tree_map(lambda leaf: leaf if leaf.dim() > 1 else leaf.repeat(len(actions), 1), outputs)


class Guided(Distribution):
    """The tasks of `distribution`, with query batches that contain the actions of an `expert` (`Guidance`).

    The states are those that the adapted policies visit, as in DAgger (Ross et al. 2011). Thus, no demonstrations are
    needed, and the expert's actions are known in all states to which the errors of a policy lead.
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
    """Tasks whose query batches contain the actions of an expert."""

    def __init__(self, tasks: WorldTasks, expert: Expert) -> None:
        self.n, self.tasks, self.expert = tasks.n, tasks, expert

    def support(self, predict: Predictor, step: int) -> Rollout:
        return self.tasks.support(predict, step)

    def query(self, predict: Predictor) -> Guidance:
        rollout = self.tasks.trajectories(predict)
        observations = rollout.observations
        goals = torch.as_tensor(self.tasks.goals, dtype=observations.dtype, device=observations.device)
        with torch.no_grad():
            labels = _labels(self.expert(observations, goals), rollout.actions)
        return Guidance(observations, labels, rollout.rewards, rollout.mask)

    def share(self, rows: slice) -> GuidedTasks:
        return GuidedTasks(self.tasks.share(rows), self.expert)

    def score(self, predict: Predictor) -> Tensor:
        return self.tasks.score(predict)

    def score_and_info(self, predict: Predictor) -> tuple[Tensor, dict[str, Tensor]]:
        return self.tasks.score_and_info(predict)

    def metrics(self, episodes: Episodes) -> dict[str, float]:
        return self.tasks.metrics(episodes)
