"""The choice of a policy for the spaces of an environment."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from gymnasium.spaces import MultiDiscrete, Space, flatdim

from metarl.nets.discrete import BernoulliPolicy, CategoricalPolicy, MultiCategoricalPolicy
from metarl.nets.policy import GaussianPolicy, MLPPolicy
from metarl.ranges import Count, Positive, checked
from metarl.rl.actions import distribution_for
from metarl.rl.distributions import Categorical, Gaussian


@checked
def policy_for(
    observation_space: Space,
    action_space: Space,
    *,
    hidden: Sequence[Count] = (64, 64),
    activation: str = "tanh",
    init_std: Positive = 1.0,
    min_std: Positive = 1e-6,
    state_std: bool = False,
) -> MLPPolicy:
    """An MLP policy with the action distribution that fits the action space, such as a Gaussian for a Box.

    The action space is a Box, Discrete, MultiDiscrete or MultiBinary space (see `distribution_for`). Observations are
    flat vectors [..., obs], as `gymnasium.spaces.flatten` returns them. `init_std`, `min_std` and `state_std` are
    arguments of `GaussianPolicy`, and have no effect on other policies. Raises ValueError for other spaces.
    """
    if not observation_space.is_np_flattenable:
        raise ValueError(f"observations in {observation_space} have no fixed size: give a Box, Dict or Discrete space")
    observations, form = flatdim(observation_space), distribution_for(action_space)
    if form.distribution is Gaussian:
        return GaussianPolicy(
            observations, form.size, hidden=hidden, activation=activation, init_std=init_std, min_std=min_std,
            state_std=state_std,
        )  # fmt: skip
    if form.distribution is Categorical:
        return CategoricalPolicy(observations, form.outputs, hidden=hidden, activation=activation)
    if isinstance(action_space, MultiDiscrete):
        choices = [int(n) for n in np.ravel(action_space.nvec)]
        return MultiCategoricalPolicy(observations, choices, hidden=hidden, activation=activation)
    return BernoulliPolicy(observations, form.size, hidden=hidden, activation=activation)
