"""Bandits, and the random numbers within episodes that they and tabular tasks draw."""

import numpy as np
import pytest

from metarl.envs import make_world
from metarl.envs.random_streams import RandomStreams


def test_random_numbers_are_splitmix64s() -> None:
    """The generator's published test vector, from the seed 1234567."""
    chance = RandomStreams(2)
    chance.state[0] = 1234567
    drawn = [int(chance.integers(None)[0]) for _ in range(5)]
    assert drawn == [
        6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821,
    ]  # fmt: skip


def test_streams_are_uniform_normal_and_independent() -> None:
    chance, n = RandomStreams(2000), 2000
    chance.state[:] = chance.seeds(n, np.random.default_rng(0))
    uniform = np.array([chance.uniform(None) for _ in range(50)])
    assert 0.0 <= uniform.min() < 1e-4
    assert 0.9999 < uniform.max() < 1.0
    assert uniform.mean() == pytest.approx(0.5, abs=0.003)
    assert uniform.var() == pytest.approx(1 / 12, rel=0.01)
    normal = np.array([chance.normal(None) for _ in range(50)])
    assert normal.mean() == pytest.approx(0.0, abs=0.01)
    assert normal.std() == pytest.approx(1.0, abs=0.01)
    assert np.mean(np.abs(normal) > 1.96) == pytest.approx(0.05, abs=0.003)
    for draws in (uniform, normal):
        assert abs(np.corrcoef(draws[:-1].ravel(), draws[1:].ravel())[0, 1]) < 0.01  # from one number to the next
        assert abs(np.corrcoef(draws[:, :-1].ravel(), draws[:, 1:].ravel())[0, 1]) < 0.01  # from stream to stream


def test_a_stream_that_is_not_alive_stays_where_it_is() -> None:
    chance, other = RandomStreams(2), RandomStreams(2)
    chance.uniform(np.array([True, False]))
    first = other.uniform(None)
    assert chance.uniform(None)[1] == first[1]
    assert chance.state[0] != chance.state[1]


@pytest.mark.parametrize("arms", [5, 10, 50])
def test_arms_pay_with_the_probabilities_of_the_task(arms: int) -> None:
    n = 4000
    world = make_world(f"metarl/Bandit{arms}-v0", n)
    probabilities = np.linspace(0.0, 1.0, arms)
    world.set_tasks(probabilities)
    world.reset(np.random.default_rng(0))
    assert world.action_space.n == arms
    for arm in {0, 1, arms // 2, arms - 1}:
        step = world.step(np.full(n, arm))
        assert set(np.unique(step.reward)) <= {0.0, 1.0}
        assert step.reward.mean() == pytest.approx(probabilities[arm], abs=0.03)
        np.testing.assert_allclose(step.parts["regret"], 1.0 - probabilities[arm])
        assert not step.terminated.any()
    assert (world.observe() == 1.0).all()


def test_each_sub_environment_has_its_own_arm_and_luck() -> None:
    world = make_world("metarl/Bandit5-v0", 3)
    tasks = np.eye(5)[[1, 3, 0]]
    world.set_tasks(tasks)
    world.reset(np.random.default_rng(0))
    assert world.step(np.array([1, 3, 0])).reward.tolist() == [1.0, 1.0, 1.0]
    assert world.step(np.array([0, 3, 1])).reward.tolist() == [0.0, 1.0, 0.0]
    assert world.sample_tasks(20000, np.random.default_rng(0)).mean() == pytest.approx(0.5, abs=0.005)


def test_luck_is_of_the_episode_and_not_of_who_plays_beside() -> None:
    rewards = []
    for n in (6, 3):
        world = make_world("metarl/Bandit5-v0", n)
        world.set_tasks(0.5 * np.ones(5))
        (seeds,) = world.initial(world.tasks, np.random.default_rng(0))
        world.place(None, seeds)
        rewards.append([world.step(np.zeros(n, int)).reward[:3] for _ in range(30)])
    np.testing.assert_array_equal(*rewards)
