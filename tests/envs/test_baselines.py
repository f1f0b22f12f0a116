"""BaselinesVecEnv keeps Stable-Baselines3's contract, and is the vector environment beneath it."""

import gymnasium
import numpy as np
import pytest
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv
from toys import Track

from metarl.envs import WORLDS, TaskEnv, TaskVectorEnv
from metarl.envs.baselines import BaselinesVecEnv

N, LIMIT = 3, 5


class Short(Track):
    """Episodes end beyond 0.5, after three steps at full speed."""

    edge = 0.5


def adapted(*, scale: float = 1.0) -> BaselinesVecEnv:
    return BaselinesVecEnv(TaskVectorEnv(Short, N, max_episode_steps=LIMIT), action_scale=scale)


def test_equals_stable_baselines_own_vectorisation() -> None:
    """Observations, rewards, dones and infos of SB3's DummyVecEnv over Gymnasium's TimeLimit and SB3's Monitor."""

    def single() -> gymnasium.Env:
        return Monitor(gymnasium.wrappers.TimeLimit(TaskEnv(Short), LIMIT))

    mine, its = adapted(), DummyVecEnv([single] * N)
    for env in (mine, its):
        env.seed(3)
    np.testing.assert_allclose(mine.reset(), its.reset(), rtol=1e-6)
    ends = []
    for t in range(4 * LIMIT):
        actions = np.array([[1.0], [0.3], [(-1.0) ** t]], np.float32)  # one terminates, two are truncated
        (obs, rewards, dones, infos), (o, r, d, i) = mine.step(actions), its.step(actions)
        np.testing.assert_allclose(obs, o, rtol=1e-5)
        np.testing.assert_allclose(rewards, r, rtol=1e-5)
        np.testing.assert_array_equal(dones, d)
        assert obs.dtype == rewards.dtype == np.float32
        assert dones.dtype == bool
        for n in range(N):
            assert dones[n] == ("terminal_observation" in infos[n])
            if dones[n]:
                np.testing.assert_allclose(infos[n]["terminal_observation"], i[n]["terminal_observation"], rtol=1e-5)
                assert infos[n]["TimeLimit.truncated"] == i[n]["TimeLimit.truncated"]
                assert infos[n]["episode"]["l"] == i[n]["episode"]["l"]
                assert infos[n]["episode"]["r"] == pytest.approx(i[n]["episode"]["r"], abs=1e-5)
                ends.append((n, infos[n]["TimeLimit.truncated"]))
    assert {(0, False), (1, True), (2, True)} <= set(ends)


def test_a_new_episode_has_a_new_task_and_starts_over() -> None:
    env = adapted()
    env.seed(0)
    env.reset()
    seen = []
    for _ in range(20 * LIMIT):
        before = env.env.tasks
        obs, _, dones, _ = env.step(np.zeros((N, 1), np.float32))
        np.testing.assert_array_equal(env.env.tasks[~dones], before[~dones])
        if dones.any():
            seen.append(env.env.tasks[:, 0])
            assert np.abs(obs).max() <= 0.05
    seen = np.array(seen)
    assert len(seen) == 20
    assert 0.25 < np.mean(seen[1:] != seen[:-1]) < 0.75  # of two tasks, equally likely


def test_actions_are_scaled_and_not_clipped() -> None:
    env = adapted(scale=0.5)
    start = env.reset()
    obs, *_ = env.step(np.array([[1.0], [-0.4], [9.0]], np.float32))
    np.testing.assert_allclose((obs - start)[:, 0], [0.1, -0.04, 0.2], atol=1e-6)  # the world clips 4.5 to 1
    assert env.action_space.contains(np.array([9.0], np.float32))
    with pytest.raises(ValueError, match="action_scale is 0"):
        adapted(scale=0)


def test_choices_go_through_as_they_are() -> None:
    """Equal to SB3's own vectorisation of CartPole, whatever the scale of actions."""
    world = WORLDS["metarl/CartPoleParams-v0"]

    def single() -> gymnasium.Env:
        return Monitor(gymnasium.wrappers.TimeLimit(TaskEnv(world), 30))

    mine = BaselinesVecEnv(TaskVectorEnv(world, N, max_episode_steps=30), action_scale=0.5)
    its = DummyVecEnv([single] * N)
    assert mine.action_space == its.action_space
    for env in (mine, its):
        env.seed(3)
    np.testing.assert_allclose(mine.reset(), its.reset(), rtol=1e-6)
    ends, rng = 0, np.random.default_rng(0)
    for _ in range(60):
        actions = rng.integers(2, size=N)
        (obs, rewards, dones, _), (o, r, d, _) = mine.step(actions), its.step(actions)
        np.testing.assert_allclose(obs, o, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(rewards, r)
        np.testing.assert_array_equal(dones, d)
        ends += dones.sum()
    assert ends > N


def test_what_makes_no_sense_is_refused() -> None:
    env = adapted()
    for call in (lambda: env.set_attr("task", 1), lambda: env.env_method("step")):
        with pytest.raises(AttributeError, match="TaskVectorEnv"):
            call()
    with pytest.raises(ValueError, match="set_tasks"):
        env.set_options({"task": 1.0})
    assert env.get_attr("num_envs", [0, 2]) == [N, N]
    assert env.env_is_wrapped(Monitor) == [False] * N
