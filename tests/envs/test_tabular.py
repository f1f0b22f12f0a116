"""Tabular Markov decision processes: rewards and transitions by their tables."""

import numpy as np
import pytest

from metarl.envs import make_world
from metarl.envs.tabular import TabularMDP

S, A = 10, 5


def task(means: np.ndarray, transitions: np.ndarray) -> np.ndarray:
    """A task of mean rewards [10, 5] and transitions [10, 5, 10]."""
    return np.concatenate([means.ravel(), transitions.ravel()])


def test_tasks_have_the_papers_distribution() -> None:
    tasks = TabularMDP.sample_tasks(2000, np.random.default_rng(0))
    means, transitions = TabularMDP.goals.split(tasks)
    assert means.mean() == pytest.approx(1.0, abs=0.01)
    assert means.std() == pytest.approx(1.0, abs=0.01)
    np.testing.assert_allclose(transitions.sum(axis=2), 1.0)
    assert transitions.mean() == pytest.approx(0.1)
    assert transitions.var() == pytest.approx(9 / (100 * 11), rel=0.01)  # of a flat Dirichlet distribution over 10


def test_states_follow_a_deterministic_table() -> None:
    """In state s, action a leads to state (s + a + 1) mod 10, and pays s/10 + a on average."""
    means = np.add.outer(np.arange(S) / 10, np.arange(A))
    after = (np.add.outer(np.arange(S), np.arange(A)) + 1) % S
    world = make_world("metarl/TabularMDP-v0", 2000)
    world.set_tasks(task(means, np.eye(S)[after]))
    world.reset(np.random.default_rng(0))
    state, rng = np.zeros(2000, int), np.random.default_rng(1)
    for _ in range(12):
        np.testing.assert_array_equal(world.observe(), np.eye(S)[state])
        actions = rng.integers(A, size=2000)
        step = world.step(actions)
        np.testing.assert_allclose(step.parts["mean_reward"], means[state, actions])
        noise = step.reward - means[state, actions]
        assert noise.mean() == pytest.approx(0.0, abs=0.1)
        assert noise.std() == pytest.approx(1.0, abs=0.06)
        state = after[state, actions]
        np.testing.assert_array_equal(step.parts["state"], state)


def test_states_follow_the_probabilities_of_the_task() -> None:
    tables = TabularMDP.sample_tasks(1, np.random.default_rng(3))
    transitions = TabularMDP.goals.split(tables)[1][0].reshape(S, A, S)
    world = make_world("metarl/TabularMDP-v0", 20000)
    world.set_tasks(tables[0])
    world.reset(np.random.default_rng(0))
    world.step(np.full(20000, 2))
    found = world.observe().mean(axis=0)
    np.testing.assert_allclose(found, transitions[0, 2], atol=0.012)
    before = world.observe().argmax(axis=1)
    world.step(np.full(20000, 4))
    for state in range(S):
        if (count := (before == state).sum()) > 500:
            found = world.observe()[before == state].mean(axis=0)
            np.testing.assert_allclose(found, transitions[state, 4], atol=2.5 / np.sqrt(count))


def test_episodes_begin_in_the_first_state_and_what_is_not_alive_stays() -> None:
    world = make_world("metarl/TabularMDP-v0", 3)
    world.set_tasks(task(np.zeros((S, A)), np.eye(S)[np.full((S, A), 7)]))
    world.reset(np.random.default_rng(0))
    world.step(np.zeros(3, int), np.array([True, False, True]))
    assert world.observe().argmax(axis=1).tolist() == [7, 0, 7]
    world.reset(np.random.default_rng(0), [2])
    assert world.observe().argmax(axis=1).tolist() == [7, 0, 0]
    assert world.default_horizon == 10


def test_tables_that_are_none_are_refused() -> None:
    world, flat = make_world("metarl/TabularMDP-v0", 1), np.full((S, A, S), 0.1)
    world.set_tasks(task(np.ones((S, A)), flat).astype(np.float32))  # rounding is no fault
    for means, transitions in ((1.0, 0.2 * np.ones_like(flat)), (11.0, flat), (0.0, np.full_like(flat, -0.1))):
        with pytest.raises(
            ValueError, match=r"^TabularMDP: task \[.*… 550 numbers\] is not allowed: give mean rewards"
        ):
            world.set_tasks(task(np.full((S, A), means), transitions))
