"""Guided meta-policy search: labels by hand, the KL by torch.distributions, and a toy that imitation solves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from toys import Track, track_learner

from metarl.algorithms.proximal import ProMP
from metarl.core import adapt, collect
from metarl.evaluation import evaluate
from metarl.nets.policy import GaussianPolicy
from metarl.objectives import final
from metarl.rl.distributions import Gaussian
from metarl.rl.guidance import Guidance, Guided, goal_conditioned, imitation
from metarl.rl.losses import mean_kl
from metarl.rl.rollout import WorldDistribution, episode_returns
from metarl.train import train


def to_goal(observations: torch.Tensor, tasks: torch.Tensor) -> Gaussian:
    """The best that can be done on `Track`: straight to the goal, with a std of 0.5."""
    return Gaussian((5 * (tasks[:, None, None] - observations)).clamp(-1, 1), torch.full((1,), -0.7))


def tasks() -> Guided:
    return Guided(WorldDistribution(Track, trajectories=4, gae_lambda=0.95, threads=1), to_goal)


def test_imitation_is_the_kl_from_the_expert_over_the_valid_steps() -> None:
    torch.manual_seed(0)
    observations, mean = torch.randn(6, 4, 3).double(), torch.randn(6, 4, 2).double()
    log_std, mask = torch.tensor([-0.5, 0.2]).double(), (torch.rand(6, 4) < 0.7).double()
    policy = GaussianPolicy(3, 2, hidden=(5,)).double()
    loss = imitation(policy, Guidance(observations, Gaussian(mean, log_std), mask, mask))
    ours = torch.distributions.Normal(policy(observations)[0], policy(observations)[1].exp())
    kl = torch.distributions.kl_divergence(torch.distributions.Normal(mean, log_std.exp()), ours).sum(-1)
    torch.testing.assert_close(loss, kl[mask.bool()].mean(), rtol=1e-12, atol=0)


def test_a_told_policy_sees_each_task_s_own_goal() -> None:
    torch.manual_seed(0)
    policy, goals = GaussianPolicy(4, 2, hidden=(5,)), torch.tensor([[1.0], [-2.0]])
    observations = torch.randn(2, 6, 3, 3)
    mean, log_std = goal_conditioned(policy)(observations, goals)  # type: ignore[misc]
    assert mean.shape == (2, 6, 3, 2)
    for t in range(2):
        shown = torch.cat([observations[t], goals[t].expand(6, 3, 1)], -1)
        torch.testing.assert_close(mean[t], policy(shown)[0])
    assert log_std.shape == (2,)


def test_the_query_is_labelled_where_the_adapted_policies_went() -> None:
    learner, rng = track_learner(), np.random.default_rng
    guided, plain = tasks().sample(3, rng(1)), tasks().distribution.sample(3, rng(1))
    batch = next(adapt(learner, plain, steps=1))[1]
    episodes = collect(learner, guided)
    torch.testing.assert_close(episodes.support[0], batch, rtol=0, atol=0)  # the inner loop is as ever
    plainly = collect(learner, tasks().distribution.sample(3, rng(1)))
    assert isinstance(episodes.query, Guidance)
    for name in ("observations", "rewards", "mask"):
        torch.testing.assert_close(getattr(episodes.query, name), getattr(plainly.query, name), rtol=0, atol=0)
    goals = torch.from_numpy(guided.tasks.goals).float()
    mean, log_std = to_goal(episodes.query.observations, goals)
    torch.testing.assert_close(episodes.query.expert.mean, mean, rtol=0, atol=0)
    assert episodes.query.expert.log_std.tolist() == log_std.expand(3, 1).tolist()
    returns = float(episode_returns(episodes.query).mean())
    assert guided.metrics(episodes)["return_1"] == pytest.approx(returns)
    assert guided.metrics(episodes)["env_steps"] == 2 * 3 * 4 * 5


@pytest.mark.parametrize("first_order", [False, True])
def test_adapted_policies_come_to_act_as_the_expert(*, first_order: bool) -> None:
    learner, guided = track_learner(lr=0.05, first_order=first_order), tasks()
    algorithm = ProMP(
        learner, final(imitation), mean_kl, optimizer=lambda p: torch.optim.Adam(p, lr=0.01), epochs=5, penalty=0.1
    )
    before = evaluate(learner, guided, steps=1, num_tasks=40, rng=np.random.default_rng(5))
    metrics = list(train(algorithm, guided, iterations=40, meta_batch=20))
    after = evaluate(learner, guided, steps=1, num_tasks=40, rng=np.random.default_rng(5))
    assert metrics[-1]["loss"] < 0.5 * metrics[0]["loss"]
    assert after[1].mean() > before[1].mean() + 1
    assert after[1].mean() > after[0].mean() + 1  # it is adaptation that tells the goals apart
