"""TaskVectorEnv: equal to as many single environments under Gymnasium's own SyncVectorEnv."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from acting import random_actions
from gymnasium.vector import AutoresetMode

from metarl.envs import TaskVectorEnv, ids

N = 4


def both(id: str, limit: int) -> tuple[TaskVectorEnv, gymnasium.vector.SyncVectorEnv]:
    vector = gymnasium.make_vec(id, num_envs=N, max_episode_steps=limit)
    sync = gymnasium.make_vec(id, num_envs=N, max_episode_steps=limit, vectorization_mode="sync")
    assert isinstance(vector, TaskVectorEnv)
    return vector, sync


def same_infos(mine: dict[str, Any], its: dict[str, Any]) -> None:
    assert set(mine) == set(its)
    for key, values in its.items():
        assert mine[key].shape == values.shape, key
        assert mine[key].dtype == values.dtype, key
        np.testing.assert_allclose(mine[key], values, rtol=0, atol=1e-9, err_msg=key)


def same_steps(vector: TaskVectorEnv, sync: gymnasium.vector.SyncVectorEnv, steps: int) -> list[np.ndarray]:
    rng = np.random.default_rng(2)
    ends = []
    for _ in range(steps):
        actions = random_actions(vector.single_action_space, N, rng).astype(vector.action_space.dtype)
        mine, its = vector.step(actions), sync.step(actions)
        for a, b in zip(mine[:4], its[:4], strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-9)
        same_infos(mine[4], its[4])
        ends.append(np.stack(mine[2:4]))
    return ends


@pytest.mark.parametrize("id", ids())
def test_equals_single_environments_over_episodes(id: str) -> None:
    vector, sync = both(id, 15)
    (mine, my_infos), (its, its_infos) = vector.reset(seed=5), sync.reset(seed=5)
    np.testing.assert_array_equal(mine, its)
    same_infos(my_infos, its_infos)
    if "Ant" in id:  # two are thrown up so that they terminate at once, in the middle of the others' episodes
        for i in (1, 2):
            single = sync.envs[i].unwrapped.world
            qpos, qvel = single.qpos.copy(), single.qvel.copy()
            qpos[0, 2] = 1.6
            single.place(None, qpos, qvel)
            vector.world.place([i], qpos, qvel)
    terminated, truncated = np.stack(same_steps(vector, sync, 40), axis=1)
    assert truncated.any()
    if "Hopper" not in id and "CartPole" not in id:  # which fall in some episodes
        assert terminated.any() == ("Ant" in id and "AntGoal-v0" not in id)
    mask = np.array([True, False, True, False])
    mine, my_infos = vector.reset(seed=[1, None, 2, 3], options={"reset_mask": mask})
    its, its_infos = sync.reset(seed=[1, None, 2, 3], options={"reset_mask": mask})
    np.testing.assert_allclose(mine, its, rtol=0, atol=1e-9)
    same_infos(my_infos, its_infos)
    same_steps(vector, sync, 20)


def test_point_terminates_and_starts_again() -> None:
    env = gymnasium.make_vec("metarl/PointNav-MAML2017-v0", num_envs=2)
    env.reset(seed=0, options={"task": [[0.05, 0.0], [0.5, 0.5]]})
    action = np.array([[0.5, 0.0], [0.5, 0.0]], np.float32)
    _, _, terminated, _, _ = env.step(action)
    assert terminated.tolist() == [True, False]
    observations, reward, terminated, _, infos = env.step(action)
    np.testing.assert_allclose(observations, [[0.0, 0.0], [0.1, 0.0]])
    assert reward[0] == 0.0
    assert not terminated.any()
    assert infos["_distance"].tolist() == [False, True]
    assert infos["task"][0].tolist() != [0.05, 0.0]  # drawn anew
    assert infos["task"][1].tolist() == [0.5, 0.5]


def test_reset_after_the_end_starts_only_one_episode() -> None:
    env = gymnasium.make_vec("metarl/PointNav-v0", num_envs=2, max_episode_steps=1)
    env.reset(seed=0)
    assert env.step(np.ones((2, 2), np.float32))[3].all()
    before = env.reset(seed=1)[0]
    after = env.step(np.ones((2, 2), np.float32))[0]
    np.testing.assert_allclose(after, before + 0.2)  # it moved, it was not reset again


def test_fixed_tasks_outlast_episodes() -> None:
    env = TaskVectorEnv(type(gymnasium.make("metarl/HalfCheetahVel-v0").unwrapped.world), 3, max_episode_steps=2)
    env.set_tasks([0.5, 1.0, 1.5])
    env.reset(seed=0)
    for _ in range(5):
        infos = env.step(np.zeros((3, 6), np.float32))[4]
        assert infos["task"].ravel().tolist() == [0.5, 1.0, 1.5]
    env.reset(options={"task": 2.0})
    assert env.tasks.ravel().tolist() == [2.0, 2.0, 2.0]
    env.reset()
    assert env.tasks.ravel().tolist() == [0.5, 1.0, 1.5]
    env.set_tasks(None)
    env.reset()
    assert env.tasks.ravel().tolist() != [0.5, 1.0, 1.5]
    assert env.sample_tasks(7).shape == (7, 1)


def test_options_with_a_mask_leave_the_others_alone() -> None:
    env = gymnasium.make_vec("metarl/HalfCheetahVel-v0", num_envs=3)
    env.reset(seed=0, options={"task": 1.0})
    env.reset(options={"task": [[0.1], [0.2], [0.3]], "reset_mask": np.array([False, True, False])})
    assert env.unwrapped.tasks.ravel().tolist() == [1.0, 0.2, 1.0]
    with pytest.raises(ValueError, match="reset_mask must be a bool array"):
        env.reset(options={"reset_mask": [True, False, False]})
    with pytest.raises(ValueError, match="2 seeds for 3"):
        env.reset(seed=[1, 2])
    with pytest.raises(ValueError, match=r"does not know the options \['tasks'\]"):
        env.reset(options={"tasks": 1.0})


def test_declares_what_gymnasium_asks_for() -> None:
    env = gymnasium.make_vec("metarl/AntDir-v0", num_envs=2)
    assert env.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    assert env.spec is not None
    env.reset(seed=4)
    assert env.unwrapped.np_random_seed == (4, 5)
    assert len(env.unwrapped.np_random) == 2
    wrapped = gymnasium.wrappers.vector.RecordEpisodeStatistics(env)
    wrapped.reset(seed=0)
    wrapped.step(env.action_space.sample())
