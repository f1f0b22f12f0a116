"""What every World promises: clear refusals, masks, determinism, threads, divergence."""

import numpy as np
import pytest
from acting import random_actions
from gymnasium.spaces import Discrete

from metarl.envs import WORLDS, World, ids, make_world
from metarl.envs.physics import MujocoWorld

EVERY = pytest.mark.parametrize("id", ids())
MUJOCO = pytest.mark.parametrize("id", [i for i in ids() if issubclass(WORLDS[i], MujocoWorld)])
STATELESS = ("Bandit", "TabularMDP")  # their episodes differ by what happens, not by where they begin


def started(id: str, num_envs: int, *, threads: int = 1, seed: int = 0) -> World:
    world = make_world(id, num_envs, threads=threads)
    rng = np.random.default_rng(seed)
    world.set_tasks(world.sample_tasks(num_envs, rng))
    world.reset(rng)
    return world


def rolled(world: World, steps: int) -> list[np.ndarray]:
    """Observations and rewards under fixed random actions, one array [N, obs + 1] a step."""
    rng, rows = np.random.default_rng(9), []
    for _ in range(steps):
        step = world.step(random_actions(world.action_space, world.num_envs, rng, bound=1.2))
        rows.append(np.concatenate([world.observe(), step.reward[:, None]], axis=1))
    return rows


@EVERY
def test_same_bits_from_the_seed_and_at_any_thread_count(id: str) -> None:
    first = rolled(started(id, 7), 30)
    np.testing.assert_array_equal(first, rolled(started(id, 7), 30))
    np.testing.assert_array_equal(first, rolled(started(id, 7, threads=2), 30))
    assert np.abs(np.array(first) - rolled(started(id, 7, seed=1), 30)).max() > 1e-3


@EVERY
def test_observations_can_be_written_into_float32(id: str) -> None:
    world = started(id, 3)
    out = np.full((3, *world.observation_space.shape), np.nan, np.float32)
    assert world.observe(out) is out
    np.testing.assert_array_equal(out, world.observe().astype(np.float32))
    assert world.observe().dtype == np.float64


@EVERY
def test_what_is_not_alive_does_not_move(id: str) -> None:
    world, whole = started(id, 4), started(id, 4)
    before = world.observe()
    actions = random_actions(world.action_space, 4, np.random.default_rng(0)).astype(float)
    everything = whole.step(actions)
    actions[2] = np.nan  # what is not alive need not have a sensible action
    step = world.step(actions, np.array([True, False, False, True]))
    np.testing.assert_array_equal(world.observe()[1:3], before[1:3])
    np.testing.assert_array_equal(world.observe()[[0, 3]], whole.observe()[[0, 3]])
    np.testing.assert_array_equal(step.reward, everything.reward * [1, 0, 0, 1])
    assert not any(values[1:3].any() for values in (step.terminated, step.diverged, *step.parts.values()))
    nobody = world.step(actions, np.zeros(4, bool))
    assert not nobody.reward.any()


@EVERY
def test_reset_of_some_or_none(id: str) -> None:
    world = started(id, 3)
    rolled(world, 2)
    before = world.observe()
    world.reset(np.random.default_rng(1), np.array([], int))
    np.testing.assert_array_equal(world.observe(), before)
    world.reset(np.random.default_rng(1), np.array([False, True, False]))
    np.testing.assert_array_equal(world.observe()[[0, 2]], before[[0, 2]])
    assert (world.observe()[1] != before[1]).any() or any(name in id for name in STATELESS)


@EVERY
def test_refuses_actions_that_are_not_finite(id: str) -> None:
    world = started(id, 3)
    actions = np.zeros((3, *world.action_space.shape))
    actions[1] = np.inf
    fault = "no choice in Discrete" if isinstance(world.action_space, Discrete) else "not finite"
    with pytest.raises(ValueError, match=rf"inf.*sub-environment 1 \(task \[.*\]\) is {fault}") as refusal:
        world.step(actions)
    assert str(refusal.value).startswith(world.name)
    assert str(world.tasks[1, :4].tolist())[:-1] in str(refusal.value)
    with pytest.raises(ValueError, match=r"actions have shape \(2,.*give \(3,"):
        world.step(actions[:2])


@EVERY
def test_refuses_to_step_without_tasks(id: str) -> None:
    world = make_world(id, 2)
    with pytest.raises(ValueError, match="no task has been set: call set_tasks first"):
        world.reset(np.random.default_rng(0))
    with pytest.raises(ValueError, match="no task has been set: call set_tasks first"):
        world.step(np.zeros((2, *world.action_space.shape)))


@EVERY
def test_set_tasks_takes_one_for_all_or_one_each_and_refuses_the_rest(id: str) -> None:
    world = make_world(id, 3)
    rng = np.random.default_rng(0)
    task = world.sample_tasks(1, rng)[0]
    world.set_tasks(task)
    np.testing.assert_array_equal(world.tasks, [task] * 3)
    tasks = world.sample_tasks(2, rng)
    world.set_tasks(tasks, [0, 2])
    np.testing.assert_array_equal(world.tasks, [tasks[0], task, tasks[1]])
    world.set_tasks(tasks, np.array([False, True, True]))
    np.testing.assert_array_equal(world.tasks[1:], tasks)
    kept = world.tasks.copy()
    with pytest.raises(ValueError, match=r"is not allowed: give"):
        world.set_tasks(np.full_like(kept, 17.5))
    with pytest.raises(ValueError, match=r"is not allowed: give"):
        world.set_tasks(np.full_like(kept, np.nan))
    with pytest.raises(ValueError, match=r"tasks have shape"):
        world.set_tasks(np.zeros((5, kept.shape[1])))
    np.testing.assert_array_equal(world.tasks, kept)


def test_tasks_of_one_number_may_be_plain_numbers() -> None:
    world = make_world("metarl/HalfCheetahVel-v0", 3)
    world.set_tasks(1.5)
    assert world.tasks.tolist() == [[1.5]] * 3
    world.set_tasks([0.0, 1.0, 2.0])
    assert world.tasks.tolist() == [[0.0], [1.0], [2.0]]
    world.set_tasks(np.float32(2.9), [1])
    assert world.tasks[1, 0] == pytest.approx(2.9)


def test_directions_and_corners_are_refused_between() -> None:
    with pytest.raises(ValueError, match=r"HalfCheetahDir: task \[0.5\] is not allowed: give -1 \(backward\) or"):
        make_world("metarl/HalfCheetahDir-v0", 2).set_tasks(0.5)
    with pytest.raises(ValueError, match=r"PointNav: task \[2.0, 1.0\] is not allowed: give one of the corners"):
        make_world("metarl/PointNav-v0", 2).set_tasks([2.0, 1.0])


@MUJOCO
def test_divergence_is_reported_and_stays_where_it_is(id: str, tmp_path, monkeypatch, capfd) -> None:
    monkeypatch.chdir(tmp_path)
    world, sane = started(id, 3, threads=2), started(id, 3)
    world.qvel[1] = 1e20
    actions = np.full((3, *world.action_space.shape), 0.3)
    step, expected = world.step(actions), sane.step(actions)
    assert step.diverged.tolist() == [False, True, False]
    assert step.terminated[1]
    assert step.reward[1] == 0.0
    assert all(np.isfinite(values).all() for values in step.parts.values())
    np.testing.assert_array_equal(world.observe()[[0, 2]], sane.observe()[[0, 2]])
    np.testing.assert_array_equal(step.reward[[0, 2]], expected.reward[[0, 2]])
    assert world.step(actions).diverged[1]  # until it is placed anew
    world.reset(np.random.default_rng(0), [1])
    assert not world.step(actions).diverged.any()
    assert not list(tmp_path.iterdir())  # no MUJOCO_LOG.TXT
    assert capfd.readouterr() == ("", "")


def test_refuses_impossible_sizes() -> None:
    with pytest.raises(ValueError, match=r"^num_envs is 0: give a whole number from 1 up$"):
        make_world("metarl/PointNav-v0", 0)


def test_unknown_ids_bring_suggestions() -> None:
    with pytest.raises(ValueError, match=r"metarl/HalfCheetahVel-v0.*`metarl list` shows all"):
        make_world("HalfCheetaVel-v0", 2)
    with pytest.raises(ValueError, match=r"unknown environment 'xyz': `metarl list`"):
        make_world("xyz", 2)
