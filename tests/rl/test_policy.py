"""Adapted policies: Stable-Baselines3's predict, for one observation or many, deterministic or not."""

import warnings
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3.common.evaluation import evaluate_policy
from toys import Track, track_learner

from metarl.core import adapt
from metarl.learners.gradient import GradientLearner
from metarl.nets.policy import GaussianPolicy
from metarl.rl.distributions import Gaussian
from metarl.rl.losses import surrogate
from metarl.rl.policy import AdaptedPolicy, adapt_policy
from metarl.rl.rollout import WorldDistribution

GOALS = np.array([[-1.0], [1.0], [-1.0]])


def adapted(*, task: int = 0, **settings: float) -> tuple[AdaptedPolicy, GradientLearner, dict[str, torch.Tensor]]:
    """An adapted policy, its learner and its state."""
    learner = track_learner(lr=0.5)
    tasks = WorldDistribution(Track, trajectories=4).tasks(GOALS, np.random.default_rng(0))
    *_, (predict, _) = adapt(learner, tasks, steps=1)
    policy = AdaptedPolicy(predict, Track.action_space, task=task, **settings)  # type: ignore[arg-type]
    return policy, learner, {name: value[task] for name, value in predict.states.items()}


@pytest.mark.parametrize("task", [0, 2])
def test_deterministic_is_the_mean_of_its_own_task(task: int) -> None:
    policy, learner, state = adapted(task=task, action_scale=0.5)
    observations = np.linspace(-1, 1, 6)[:, None]
    action, memory = policy.predict(observations, "as it came", deterministic=True)
    mean, _ = learner.predict(state, torch.from_numpy(observations).float())
    np.testing.assert_allclose(action, 0.5 * mean.detach(), rtol=1e-4, atol=1e-6)
    assert action.shape == (6, 1)
    assert memory == "as it came"
    other, _ = adapted(task=1)[0].predict(observations, deterministic=True)
    assert np.abs(2 * action - other).max() > 1e-3


def test_one_observation_or_a_batch() -> None:
    policy, *_ = adapted()
    batch, _ = policy.predict(np.array([[0.3], [0.6]], np.float32), deterministic=True)
    for row, x in zip(batch, (0.3, 0.6), strict=True):
        single, _ = policy.predict(np.array([x], np.float32), deterministic=True)
        assert single.shape == (1,)
        np.testing.assert_allclose(single, row, rtol=1e-6)


def test_sampled_actions_have_the_policys_mean_and_spread() -> None:
    policy, learner, state = adapted(action_scale=0.1)  # far from the bounds
    actions, _ = policy.predict(np.full((20_000, 1), 0.3, np.float32))
    mean, log_std = learner.predict(state, torch.tensor([0.3]))
    assert actions.mean() == pytest.approx(0.1 * mean.item(), abs=0.002)  # 5 standard errors
    assert actions.std() == pytest.approx(0.1 * log_std.exp().item(), rel=0.03)
    again, _ = adapted(action_scale=0.1)[0].predict(np.full((20_000, 1), 0.3, np.float32))
    np.testing.assert_array_equal(actions, again)
    other, _ = adapted(action_scale=0.1, seed=1)[0].predict(np.full((20_000, 1), 0.3, np.float32))
    assert not np.array_equal(actions, other)


@pytest.mark.parametrize("task", [-1, 3])
def test_a_task_that_is_not_there_is_refused(task: int) -> None:
    with pytest.raises(ValueError, match=f"task is {task}: give a number from 0 to 2"):
        adapted(task=task)


def test_adapt_policy_is_the_inner_loop_on_one_task() -> None:
    learner = track_learner(lr=0.5, steps=2)
    distribution = WorldDistribution(Track, trajectories=4, action_scale=0.5)
    x = np.linspace(-1, 1, 5)[:, None]
    for steps in (None, 0, 1):
        tasks = distribution.tasks(np.array([[1.0]]), np.random.default_rng(3))
        *_, (predict, _) = adapt(learner, tasks, steps=2 if steps is None else steps)
        expected, _ = AdaptedPolicy(predict, Track.action_space, action_scale=0.5).predict(x, deterministic=True)
        found, _ = adapt_policy(learner, distribution, 1.0, steps=steps, seed=3).predict(x, deterministic=True)
        np.testing.assert_array_equal(found, expected)
    before, _ = adapt_policy(learner, distribution, [1.0], steps=0).predict(x, deterministic=True)
    assert np.abs(before - expected).max() > 1e-3


def test_a_policy_in_torch_warns_of_nothing() -> None:
    class Plain(torch.nn.Linear):
        def forward(self, x: torch.Tensor) -> Gaussian:
            return Gaussian(super().forward(x), torch.zeros(1))

    learner = GradientLearner(Plain(1, 1), surrogate)
    goal = np.array([1.0])
    goal.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        policy = adapt_policy(learner, WorldDistribution(Track, trajectories=4), goal)
        action, _ = policy.predict(np.broadcast_to(np.float32(0.5), (3, 1)), deterministic=True)
    assert action.shape == (3, 1)


def test_stable_baselines3_evaluates_it() -> None:
    torch.manual_seed(0)
    learner = GradientLearner(GaussianPolicy(2, 2, hidden=(8,)), surrogate, lr=0.1)
    distribution = WorldDistribution("metarl/PointNav-MAML2017-v0", trajectories=4, horizon=20, action_scale=0.5)
    goal = np.array([0.3, -0.4])
    policy = adapt_policy(learner, distribution, goal)
    env = gymnasium.make("metarl/PointNav-MAML2017-v0", task=goal)
    found: list[list[float]] = []
    for deterministic in (True, True, False):
        env.reset(seed=0)
        returns, lengths = evaluate_policy(
            policy, env, n_eval_episodes=2, deterministic=deterministic, return_episode_rewards=True, warn=False
        )
        assert lengths == [100, 100]
        assert isinstance(returns, list)
        found.append(returns)
    assert found[0] == found[1] != found[2]
    # the first episode played by hand
    env.reset(seed=0)
    total = 0.0
    observation, _ = env.reset()
    for _ in range(100):
        observation, reward, _, truncated, _ = env.step(policy.predict(observation, deterministic=True)[0])
        total += float(reward)
    assert truncated
    assert total == pytest.approx(found[0][0], rel=1e-6)  # float32 rewards there
    assert total < -1


def test_a_policy_that_was_saved_is_the_same_policy(tmp_path: Path) -> None:
    torch.manual_seed(0)
    distribution = WorldDistribution("metarl/PointNav-MAML2017-v0", trajectories=3, horizon=8, action_scale=0.5)
    learner = GradientLearner(GaussianPolicy(2, 2, hidden=(8,)), surrogate, steps=1, lr=0.1)
    policy = adapt_policy(learner, distribution, [0.2, -0.3], seed=1)
    policy.save(file := tmp_path / "policy.safetensors")
    again, seen = AdaptedPolicy.load(file), np.random.default_rng(0).normal(size=(5, 2))
    for deterministic in (True, False):
        policy.rng, again.rng = np.random.default_rng(2), np.random.default_rng(2)
        mine, theirs = (p.predict(seen, deterministic=deterministic)[0] for p in (policy, again))
        np.testing.assert_array_equal(mine, theirs)
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(ValueError, match="is no adapted policy, or is damaged"):
        AdaptedPolicy.load(file)
    with pytest.raises(ValueError, match="does not exist"):
        AdaptedPolicy.load(tmp_path / "nothing")
