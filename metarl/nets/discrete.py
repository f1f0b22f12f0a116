"""Policies for discrete actions: one choice, several independent choices, or independent binary variables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate

import numpy as np
from torch import Tensor

from metarl.nets.policy import MLPPolicy
from metarl.ranges import Count, checked
from metarl.rl.distributions import Bernoulli, Categorical, MultiCategorical


class CategoricalPolicy(MLPPolicy):
    """A policy for a Discrete space with n actions, from observations [..., obs] to Categorical(logits [..., n]).

    Weights and normalisation are as in `MLPPolicy`.
    """

    @checked
    def __init__(
        self, observations: Count, choices: Count, *, hidden: Sequence[Count] = (100, 100), activation: str = "relu"
    ) -> None:
        super().__init__(observations, choices, hidden=hidden, activation=activation)

    def forward(self, observations: Tensor) -> Categorical:
        return Categorical(self.outputs(observations))

    def arrays(self, params: Mapping[str, np.ndarray]) -> Callable[[np.ndarray], Categorical]:
        outputs = self.outputs_in_numpy(params)
        return lambda x: Categorical(outputs(x))


class MultiCategoricalPolicy(MLPPolicy):
    """A policy for a MultiDiscrete space, whose actions consist of several independent choices, from one MLP.

    It maps observations [..., obs] to MultiCategorical(logits), with logits [..., n] for each n in `choices`, which are
    the `nvec` of the space. Weights and normalisation are as in `MLPPolicy`. Raises ValueError if there are no choices.
    """

    @checked
    def __init__(
        self,
        observations: Count,
        choices: Sequence[Count],
        *,
        hidden: Sequence[Count] = (100, 100),
        activation: str = "relu",
    ) -> None:
        if not len(choices):
            raise ValueError("choices is empty: give the number of options of each choice")
        super().__init__(observations, int(sum(choices)), hidden=hidden, activation=activation)
        self.choices = tuple(int(n) for n in choices)

    def forward(self, observations: Tensor) -> MultiCategorical:
        return MultiCategorical(self.outputs(observations).split(self.choices, -1))

    def arrays(self, params: Mapping[str, np.ndarray]) -> Callable[[np.ndarray], MultiCategorical]:
        outputs, cuts = self.outputs_in_numpy(params), list(accumulate(self.choices))[:-1]
        return lambda x: MultiCategorical(tuple(np.split(outputs(x), cuts, -1)))


class BernoulliPolicy(MLPPolicy):
    """A policy for a MultiBinary space of n variables, from observations [..., obs] to Bernoulli(logits [..., n]).

    Weights and normalisation are as in `MLPPolicy`.
    """

    @checked
    def __init__(
        self, observations: Count, actions: Count, *, hidden: Sequence[Count] = (100, 100), activation: str = "relu"
    ) -> None:
        super().__init__(observations, actions, hidden=hidden, activation=activation)

    def forward(self, observations: Tensor) -> Bernoulli:
        return Bernoulli(self.outputs(observations))

    def arrays(self, params: Mapping[str, np.ndarray]) -> Callable[[np.ndarray], Bernoulli]:
        outputs = self.outputs_in_numpy(params)
        return lambda x: Bernoulli(outputs(x))
