"""What a World receives: finite numbers in a Box, choices in other spaces, harmless ones where nothing is alive."""

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete

from metarl.envs import World, make_world
from metarl.envs.goals import task_in_words
from metarl.envs.valid_actions import valid_actions


@pytest.mark.parametrize(
    ("space", "rows", "wrong"),
    [
        (Discrete(3), [0, 2, 3, -1, 1], [2, 3]),
        (Discrete(3, start=-1), [-1, 1, 2, -2, 0], [2, 3]),
        (Discrete(3), [0.0, 1.5, np.nan, np.inf, 2.0], [1, 2, 3]),
        (MultiDiscrete([2, 3]), [[0, 0], [1, 2], [2, 0], [0, 3], [0, -1]], [2, 3, 4]),
        (MultiDiscrete([2, 3], start=[1, 0]), [[1, 0], [2, 2], [0, 0], [3, 0], [1, 3]], [2, 3, 4]),
        (MultiBinary(2), [[0, 1], [1, 1], [2, 0], [0, -1], [0.5, 0]], [2, 3, 4]),
        (Box(-1, 1, (2,)), [[0, 1], [9, -9], [np.nan, 0], [0, np.inf], [0, 0]], [2, 3]),
    ],
)
def test_what_is_no_action_is_found(space: gymnasium.Space, rows: list, wrong: list[int]) -> None:
    actions = np.array(rows)
    taken, found = valid_actions(space, actions, None)
    assert np.flatnonzero(found).tolist() == wrong
    np.testing.assert_array_equal(taken[~found], actions[~found])
    assert taken.dtype == (np.int64 if not isinstance(space, Box) else actions.dtype)
    dead = ~np.isin(np.arange(5), wrong)
    taken, found = valid_actions(space, actions, dead)
    assert not found.any()
    assert all(space.contains(row.astype(space.dtype)) for row in taken if np.abs(row).max() <= 8)
    assert np.isfinite(taken).all()


def cartpole(n: int = 3) -> World:
    world = make_world("metarl/CartPoleParams-v0", n)
    world.set_tasks([0.5, 0.1])
    world.reset(np.random.default_rng(0))
    return world


@pytest.mark.parametrize("action", [2, -1, 0.5, np.nan])
def test_what_is_no_choice_is_refused_in_one_line(action: float) -> None:
    message = (
        rf"^CartPoleParams: action {action} of sub-environment 1 \(task \[0.5, 0.1\]\) is no choice in Discrete\(2\)$"
    )
    with pytest.raises(ValueError, match=message):
        cartpole().step(np.array([0, action, 1]))
    single = gymnasium.make("metarl/CartPoleParams-v0").unwrapped
    single.reset(seed=0)
    with pytest.raises(ValueError, match=rf"CartPoleParams: action {action} of sub-environment 0"):
        single.step(action)
    vector = gymnasium.make_vec("metarl/CartPoleParams-v0", num_envs=3)
    vector.reset(seed=0)
    with pytest.raises(ValueError, match=rf"CartPoleParams: action {action} of sub-environment 1"):
        vector.step(np.array([0, action, 1]))


@pytest.mark.parametrize("actions", [np.zeros(2, int), np.zeros((3, 1), int), np.zeros(4, int)])
def test_choices_of_another_shape_are_refused(actions: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"^CartPoleParams: actions have shape \(.*\): give \(3,\)$"):
        cartpole().step(actions)


def test_spaces_of_a_vector_are_gymnasiums() -> None:
    vector = gymnasium.make_vec("metarl/CartPoleParams-v0", num_envs=3)
    sync = gymnasium.make_vec("metarl/CartPoleParams-v0", num_envs=3, vectorization_mode="sync")
    assert vector.action_space == sync.action_space == MultiDiscrete([2, 2, 2])
    assert vector.single_action_space == Discrete(2)


def test_long_tasks_are_abbreviated() -> None:
    assert task_in_words(np.array([1.0, 2.0])) == "[1.0, 2.0]"
    assert task_in_words(np.float64(0.5)) == "0.5"
    assert task_in_words({"mass": 2}) == "{'mass': 2}"
    assert task_in_words(np.arange(550.0)) == "[0.0, 1.0, 2.0, 3.0, … 550 numbers]"
