"""Observations as rows of numbers: what Gymnasium's flattening gives, and what is no observation of its space."""

from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, Graph, MultiBinary, MultiDiscrete, Space, Text, Tuple, flatten

from metarl.envs.flatten import Misfit, flattener

SPACES: list[Space[Any]] = [
    Box(-1, 1, (3,)), Box(0, 255, (2, 3), np.uint8), Box(0, 1, (), np.float64), Discrete(4, start=-1),
    MultiDiscrete([2, 3]), MultiBinary([2, 2]), Tuple([Box(0, 1, (2,)), Discrete(3)]),
    Dict(b=Box(0, 1, (2, 2)), a=Tuple([MultiBinary(2), Dict(c=Discrete(2))])),
]  # fmt: skip


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_rows_are_gymnasiums(space: Space[Any]) -> None:
    space.seed(0)
    seen = [space.sample() for _ in range(5)]
    np.testing.assert_array_equal(flattener(space)(seen), [flatten(space, value) for value in seen])


def test_numbers_outside_a_boxs_bounds_are_let_through() -> None:
    np.testing.assert_array_equal(flattener(Box(-1, 1, (2,)))([[3, -4], [0, 1]]), [[3, -4], [0, 1]])
    both = Dict(a=Box(-1, 1, (2,)), b=Discrete(2))
    np.testing.assert_array_equal(flattener(both)([{"a": np.array([3.0, -4.0]), "b": 1}]), [[3, -4, 0, 1]])


@pytest.mark.parametrize(
    ("space", "value", "message"),
    [
        (Box(-1, 1, (2,)), np.zeros(3), "of the type ndarray of shape [3]: give numbers of shape (2,)"),
        (Box(-1, 1, (2,)), np.zeros(1), "of the type ndarray of shape [1]: give numbers of shape (2,)"),
        (Box(-1, 1, (2,)), 0.5, "0.5: give numbers of shape (2,)"),
        (Box(-1, 1, (2,)), None, "None: give numbers of shape (2,)"),
        (Box(-1, 1, (2,)), [[1], [2, 3]], "[[1], [2, 3]]: give numbers of shape (2,)"),
        (Discrete(3), 3, "3: give an element of Discrete(3)"),
        (Discrete(3), -1, "-1: give an element of Discrete(3)"),
        (SPACES[-1], {"b": np.zeros((2, 2))}, "['b']: give a dict of ['a', 'b']"),
        (SPACES[-2], (np.zeros(2),), "of the type tuple"),
        (SPACES[-2], (np.zeros(2), 5), "at 1 5: give an element of Discrete(3)"),
    ],
)
def test_what_is_no_observation_is_named(space: Space[Any], value: Any, message: str) -> None:
    space.seed(0)
    with pytest.raises(Misfit) as error:
        flattener(space)([space.sample(), value, space.sample()])
    assert message.replace("of the type tuple", "(") in str(error.value)
    assert error.value.index == 1


@pytest.mark.parametrize("space", [Text(5), Graph(Box(0, 1, (1,)), None), Dict(a=Tuple([Text(2)]))], ids=str)
def test_spaces_of_no_fixed_size_are_refused(space: Space[Any]) -> None:
    with pytest.raises(ValueError, match=r"^observations are in .*: give a Box, Discrete, MultiDiscrete, MultiBinary"):
        flattener(space)
