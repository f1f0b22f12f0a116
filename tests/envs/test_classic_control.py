"""CartPole and Pendulum: equal to Gymnasium's own with the same parameters, step by step."""

import gymnasium
import numpy as np
import pytest

from metarl.envs import World, make_world


def started(id: str, n: int) -> World:
    world, rng = make_world(f"metarl/{id}-v0", n), np.random.default_rng(0)
    world.set_tasks(world.sample_tasks(n, rng))
    world.reset(rng)
    return world


def test_cartpole_equals_gymnasium() -> None:
    world, rng, ends = started("CartPoleParams", 20), np.random.default_rng(1), 0
    theirs = []
    for (length, mass), state in zip(world.tasks, world.state, strict=True):
        env = gymnasium.make("CartPole-v1").unwrapped
        env.reset()
        env.length, env.masspole = length, mass
        env.total_mass, env.polemass_length = mass + env.masscart, mass * length
        env.state = state.copy()
        theirs.append(env)
    alive = np.ones(20, bool)
    for _ in range(300):
        actions = np.where(world.state[:, 2] + 0.3 * world.state[:, 3] > 0, 1, 0)  # it balances for a while
        actions = np.where(rng.random(20) < 0.2, 1 - actions, actions)
        step = world.step(actions, alive)
        for i in np.flatnonzero(alive):
            _, reward, terminated, _, _ = theirs[i].step(int(actions[i]))
            np.testing.assert_allclose(world.state[i], theirs[i].state, rtol=0, atol=1e-9)
            assert (step.reward[i], step.terminated[i]) == (reward, terminated)
        ends += step.terminated.sum()
        alive &= ~step.terminated
    assert 5 < ends <= 20


def test_cartpole_starts_as_gymnasiums() -> None:
    ours, theirs = gymnasium.make("metarl/CartPoleParams-v0"), gymnasium.make("CartPole-v1")
    for seed in (3, None, 4):
        np.testing.assert_array_equal(ours.reset(seed=seed)[0].astype(np.float32), theirs.reset(seed=seed)[0])


def test_cartpole_ends_beyond_its_edge_and_tilt() -> None:
    world = started("CartPoleParams", 6)
    states = np.zeros((6, 4))
    states[:, 0] = [2.39, 2.41, -2.39, -2.41, 0.0, 0.0]
    states[4:, 2] = np.deg2rad([11.9, -12.1])
    world.place(None, states)
    assert world.step(np.zeros(6, int)).terminated.tolist() == [False, True, False, True, False, True]


def test_pendulum_equals_gymnasium() -> None:
    world, theirs = started("PendulumParams", 10), []
    for (mass, length), state in zip(world.tasks, world.state, strict=True):
        env = gymnasium.make("Pendulum-v1").unwrapped
        env.reset()
        env.m, env.l, env.state = mass, length, state.copy()
        theirs.append(env)
    fastest = 0.0
    for actions in np.random.default_rng(1).normal(0.0, 0.8, (300, 10, 1)):  # some beyond ±1
        actions += 0.5 * np.sign(world.state[:, 1:])  # swings it up
        step, shown = world.step(actions), world.observe()
        for i, env in enumerate(theirs):
            observation, reward, *_ = env.step(2.0 * actions[i])
            np.testing.assert_allclose(world.state[i], env.state, rtol=0, atol=1e-9)
            np.testing.assert_allclose(shown[i], observation, rtol=0, atol=1e-6)
            assert step.reward[i] == pytest.approx(reward, abs=1e-9)
        fastest = max(fastest, np.abs(world.state[:, 1]).max())
    assert fastest > 7.0
    assert not step.terminated.any()


def test_pendulum_starts_as_gymnasiums() -> None:
    ours, theirs = gymnasium.make("metarl/PendulumParams-v0"), gymnasium.make("Pendulum-v1")
    for seed in (3, None, 4):
        np.testing.assert_allclose(ours.reset(seed=seed)[0], theirs.reset(seed=seed)[0], atol=1e-6)


@pytest.mark.parametrize(
    ("id", "bounds"), [("CartPoleParams", [[0.05, 1], [0.01, 1]]), ("PendulumParams", [[0.5, 1.5]] * 2)]
)
def test_parameters_are_uniform(id: str, bounds: list[list[float]]) -> None:
    tasks = make_world(f"metarl/{id}-v0", 1).sample_tasks(20000, np.random.default_rng(0))
    for values, (low, high) in zip(tasks.T, bounds, strict=True):
        assert low <= values.min() < low + 0.01
        assert high - 0.01 < values.max() <= high
        assert values.mean() == pytest.approx((low + high) / 2, abs=0.01)


def test_pictures_show_pole_and_rod_where_they_are() -> None:
    cart, pendulum = started("CartPoleParams", 1), started("PendulumParams", 1)
    cart.set_tasks([0.5, 0.5])
    cart.place(None, np.array([[1.0, 0.0, np.pi / 2, 0.0]]))  # the pole lies, from 1 m to 2 m
    pendulum.set_tasks([1.0, 1.0])
    pendulum.place(None, np.array([[np.pi / 2, 0.0]]))  # anticlockwise, as Gymnasium draws it
    for world, half, middle in ((cart, 2.4, (1.5, -1.0)), (pendulum, 1.8, (-0.5, 0.0))):
        image = world.render(0, "rgb_array", width=240, height=240)
        assert image is not None
        assert image.shape == (240, 240, 3)
        rows, columns = np.nonzero((image == (207, 34, 46)).all(axis=2))
        assert (columns.mean() - 119.5) * half / 120 == pytest.approx(middle[0], abs=0.05)
        assert (119.5 - rows.mean()) * half / 120 == pytest.approx(middle[1], abs=0.05)
