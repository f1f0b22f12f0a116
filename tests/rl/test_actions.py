"""Action spaces: the distribution for each, what an environment receives, random spaces through a whole rollout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Sequence, Space, Tuple, flatdim

from metarl.nets.discrete import BernoulliPolicy, CategoricalPolicy, MultiCategoricalPolicy
from metarl.nets.policy import GaussianPolicy
from metarl.nets.spaces import policy_for
from metarl.rl.actions import build_space, check_fits, describe_space, distribution_for, to_action
from metarl.rl.distributions import Bernoulli, Categorical, Gaussian, MultiCategorical

SPACES: dict[str, tuple[Space, tuple[Any, int, int]]] = {  # a space, its distribution, outputs and numbers an action
    "box": (Box(-1, 1, (3,)), (Gaussian, 3, 3)),
    "box of doubles": (Box(-2, np.array([[1.0, 3.0]]), dtype=np.float64), (Gaussian, 2, 2)),
    "one number": (Box(-1, 1, ()), (Gaussian, 1, 1)),
    "discrete": (Discrete(4), (Categorical, 4, 1)),
    "discrete from 1": (Discrete(4, start=1), (Categorical, 4, 1)),
    "several": (MultiDiscrete([2, 5, 3]), (MultiCategorical, 10, 3)),
    "several in rows": (MultiDiscrete([[2, 5], [3, 2]], start=[[0, -1], [7, 1]]), (MultiCategorical, 12, 4)),
    "switches": (MultiBinary(5), (Bernoulli, 5, 5)),
    "switches in rows": (MultiBinary((2, 3)), (Bernoulli, 6, 6)),
}


@pytest.mark.parametrize("name", SPACES)
def test_what_a_space_asks_of_a_policy(name: str) -> None:
    space, expected = SPACES[name]
    assert distribution_for(space) == expected


@pytest.mark.parametrize("name", SPACES)
def test_everything_drawn_is_in_the_space_and_every_choice_is_reached(name: str) -> None:
    space, _ = SPACES[name]
    torch.manual_seed(0)
    policy = policy_for(Box(-1, 1, (2,)), space, hidden=(4,))
    params = {key: value.detach().numpy()[None] for key, value in policy.named_parameters()}
    rng = np.random.default_rng(0)
    distribution = policy.arrays(params)(rng.normal(size=(1, 500, 2)).astype(np.float32))
    drawn, _ = distribution.sample(distribution.noise(rng, (1, 500)))
    received = to_action(space, drawn[0], scale=0.5)
    assert received.shape == (500, *(space.shape or ()))
    assert received.dtype == space.dtype
    if isinstance(space, Box):
        low, high = space.low.reshape(-1), space.high.reshape(-1)  # which ±1 stands for
        expected = (low + high) / 2 + (high - low) / 2 * 0.5 * drawn[0]
        np.testing.assert_allclose(received.reshape(500, -1), expected, rtol=1e-5, atol=1e-6)
        return
    assert all(space.contains(action) for action in received)
    columns = received.reshape(500, -1)
    low = np.reshape(getattr(space, "start", 0), -1)
    most = np.reshape(getattr(space, "nvec", 2 if isinstance(space, MultiBinary) else getattr(space, "n", 2)), -1)
    np.testing.assert_array_equal(columns.min(0), low + np.zeros(columns.shape[1]))
    np.testing.assert_array_equal(columns.max(0), low + most - 1 + np.zeros(columns.shape[1]))


@pytest.mark.parametrize("name", SPACES)
def test_a_space_comes_back_from_its_description(name: str) -> None:
    space, _ = SPACES[name]
    again = build_space(describe_space(space))
    assert again == space
    assert again.dtype == space.dtype


def test_policies_for_observations_as_gymnasium_flattens_them() -> None:
    seen = Dict({"place": Box(-1, 1, (2, 2)), "gear": Discrete(3), "both": Tuple((Discrete(2), Box(0, 1, (1,))))})
    kinds = [type(policy_for(seen, space)) for space in (Box(-1, 1, (2,)), Discrete(3), MultiDiscrete([2, 2]))]
    assert kinds == [GaussianPolicy, CategoricalPolicy, MultiCategoricalPolicy]
    policy = policy_for(seen, MultiBinary(2), hidden=(5,))
    assert isinstance(policy, BernoulliPolicy)
    assert policy.trunk.layers[0].in_features == flatdim(seen) == 10  # type: ignore[union-attr]
    assert policy.trunk.activation == "tanh"
    gaussian = policy_for(seen, Box(-1, 1, (2,)), init_std=0.5, min_std=0.1, state_std=True)
    assert isinstance(gaussian, GaussianPolicy)
    assert gaussian.state_std
    assert gaussian.log_std.tolist() == pytest.approx([np.log(0.5)] * 2)
    assert gaussian.bounds[0] == pytest.approx(np.log(0.1))


BAD: dict[str, tuple[Callable[[], object], str]] = {
    "an unbounded box": (lambda: distribution_for(Box(-np.inf, 1, (2,))), "has no bounds: give a Box with a fini"),
    "a box of whole numbers": (lambda: distribution_for(Box(0, 9, (2,), np.int64)), "no policy for the action space"),
    "an empty box": (lambda: distribution_for(Box(0, 1, (0,))), "no policy for the action space"),
    "a dict": (lambda: distribution_for(Dict({"a": Discrete(2)})), "give a Box of floating-point numbers, or a Discr"),
    "no space": (lambda: distribution_for(3), "space is 3: give a Space"),  # type: ignore[arg-type]
    "too large a choice": (lambda: to_action(Discrete(3), np.array([[1.0], [3.0]])), "the action [3.0] is not in"),
    "half a choice": (lambda: to_action(MultiBinary(2), np.array([[1.0, 0.5]])), "the action [1.0, 0.5] is not in"),
    "a negative choice": (lambda: to_action(MultiDiscrete([2, 2]), np.array([[1.0, -1.0]])), "is not in"),
    "a choice that is NaN": (lambda: to_action(Discrete(3), np.array([[np.nan]])), "the action [nan] is not in"),
    "a Gaussian of choices": (
        lambda: check_fits(Gaussian(1, 1), Discrete(2)), "returns a Gaussian distribution, but actions are in Discr"
    ),
    "observations of any length": (lambda: policy_for(Sequence(Discrete(2)), Discrete(2)), "have no fixed size: "),
    "a policy without choices": (lambda: MultiCategoricalPolicy(3, []), "choices is empty: give the number of options"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_is_refused_in_one_line(name: str) -> None:
    call, message = BAD[name]
    with pytest.raises(ValueError) as caught:  # noqa: PT011  (the message is compared as plain text)
        call()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_distribution_of_ones_own_fits_every_space() -> None:
    class Own:
        pass

    check_fits(Own(), Discrete(2))  # type: ignore[arg-type]
