"""Informed worlds: the same world, observed with its task."""

import numpy as np
import pytest
from acting import random_actions

from metarl.envs import WORLDS, TaskEnv, ids, make_world
from metarl.envs.informed import informed


@pytest.mark.parametrize("id", ids())
def test_differs_only_in_what_is_observed(id: str) -> None:
    plain, shown = make_world(id, 3), informed(WORLDS[id])(3)
    size = plain.observation_space.shape[0]
    tasks = plain.sample_tasks(3, np.random.default_rng(0))
    for world in (plain, shown):
        world.set_tasks(tasks)
        world.reset(np.random.default_rng(1))
    assert shown.observation_space.shape == (size + tasks.shape[1],)
    np.testing.assert_array_equal(shown.observation_space.low[size:], plain.task_space.low)
    actions = random_actions(plain.action_space, 3, np.random.default_rng(2))
    for dtype in (np.float64, np.float32):
        mine, its = plain.step(actions), shown.step(actions)
        np.testing.assert_array_equal(mine.reward, its.reward)
        out = np.full((3, size + tasks.shape[1]), np.nan, dtype)
        shown.observe(out=out)
        np.testing.assert_array_equal(out[:, :size], plain.observe().astype(dtype))
        np.testing.assert_array_equal(out[:, size:], tasks.astype(dtype))
    shown.set_tasks(tasks[::-1])
    np.testing.assert_array_equal(shown.observe()[:, size:], tasks[::-1])


def test_is_an_environment_too() -> None:
    world = informed(WORLDS["metarl/HalfCheetahVel-v0"])
    assert informed(WORLDS["metarl/HalfCheetahVel-v0"]) is world
    env = TaskEnv(world, [1.5])
    observation, _ = env.reset(seed=0)
    assert observation.shape == env.observation_space.shape == (18,)
    assert observation[-1] == 1.5
    with pytest.raises(ValueError, match="HalfCheetahVel, informed"):
        env.world.set_tasks([7.0])
