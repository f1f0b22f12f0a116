"""Policies that are multi-layer perceptrons: what they have in common, and the Gaussian one."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from metarl.described import Described
from metarl.nets.mlp import ACTIVATIONS, MLP
from metarl.ranges import Count, Positive, checked
from metarl.rl.distributions import Gaussian

LIMIT = 10.0  # of normalised observations
LEAST = 0.1  # deviation that an observation is divided by


class MLPPolicy(Described, nn.Module, ABC):
    """The base of policies that read an action distribution from one MLP, which is called `trunk_name`.

    Glorot-uniform weights and zero biases as in rllab, which the MAML paper used. Observations may be normalised by
    constants (`normalise`), which no loop changes. A subclass says what the MLP's outputs mean, in torch (`forward`)
    and in NumPy (`arrays`).
    """

    trunk_name: ClassVar[str] = "logits"
    shift: Tensor
    scale: Tensor
    limit: Tensor

    def __init__(self, observations: int, outputs: int, *, hidden: Sequence[int], activation: str) -> None:
        super().__init__()
        setattr(self, self.trunk_name, MLP(observations, outputs, hidden=hidden, activation=activation))
        for name, parameter in self.trunk.named_parameters():
            if name.endswith("weight"):
                nn.init.xavier_uniform_(parameter)
            else:
                nn.init.zeros_(parameter)
        self.register_buffer("shift", torch.zeros(observations))
        self.register_buffer("scale", torch.ones(observations))
        self.register_buffer("limit", torch.tensor(math.inf))

    @abstractmethod
    def forward(self, observations: Tensor) -> Any:
        """Observations [..., obs] to an action distribution."""

    @abstractmethod
    def arrays(self, params: Mapping[str, np.ndarray]) -> Callable[[np.ndarray], Any]:
        """The policies of T tasks in NumPy: observations [T, N, obs] to an action distribution.

        `params` holds this module's parameters, each stacked over tasks, [T, …].
        """

    @property
    def trunk(self) -> MLP:
        """The MLP."""
        return self.get_submodule(self.trunk_name)  # type: ignore[return-value]

    @property
    def head(self) -> nn.Module:
        """The last layer of the MLP."""
        return self.trunk.head

    def outputs(self, observations: Tensor) -> Tensor:
        """The MLP's outputs for observations [..., obs], normalised on the way."""
        return self.trunk(((observations - self.shift) * self.scale).clamp(-self.limit, self.limit))

    @checked
    def normalise(self, observations: Tensor) -> None:
        """Shift and scale inputs from now on so that `observations` [n, obs] would have mean 0 and deviation 1.

        What hardly varies in them is divided by `LEAST` in place of its deviation. Inputs are cut at ±`LIMIT`.
        Raises ValueError for fewer than two, and for what is not finite.
        """
        sound = observations.is_floating_point() and observations.isfinite().all()
        if observations.shape[1:] != self.shift.shape or len(observations) < 2 or not sound:
            raise ValueError(
                f"observations have the shape {list(observations.shape)}: give two or more of {len(self.shift)} finite "
                "numbers each"
            )
        self.shift.copy_(observations.mean(0))
        self.scale.copy_(1 / observations.std(0).clamp(min=LEAST))
        self.limit.fill_(LIMIT)

    def inputs(self) -> Callable[[np.ndarray], np.ndarray]:
        """Observations [..., obs] to the net's inputs, in NumPy."""
        shift, scale, limit = (value.cpu().numpy() for value in (self.shift, self.scale, self.limit))

        def inputs(observations: np.ndarray) -> np.ndarray:
            x = observations - shift
            x *= scale
            return np.clip(x, -limit, limit, out=x)

        return inputs

    def outputs_in_numpy(self, params: Mapping[str, np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
        """The MLPs of T tasks as one batched product in NumPy: [T, N, obs] to [T, N, outputs].

        `params` are as in `arrays`. Small products are several times faster so than in torch, and no torch thread
        disturbs the simulator's.
        """
        depth, start = len(self.trunk.layers), f"{self.trunk_name}.layers"
        weights = [np.ascontiguousarray(params[f"{start}.{i}.weight"].swapaxes(1, 2)) for i in range(depth)]
        biases = [params[f"{start}.{i}.bias"][:, None] for i in range(depth)]
        act = ACTIVATIONS[self.trunk.activation][1]
        inputs = self.inputs()

        def outputs(x: np.ndarray) -> np.ndarray:
            if x.shape[-1] != weights[0].shape[1]:
                raise ValueError(
                    f"the policy takes {weights[0].shape[1]} observations and got {x.shape[-1]}: build it with the "
                    "environment's sizes"
                )
            if x.ndim != 3 or len(x) != len(weights[0]):
                raise ValueError(f"observations have the shape {x.shape}: give [T, N, obs] of {len(weights[0])} tasks")
            x = inputs(x)
            for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
                x = x @ weight
                x += bias
                act(x, out=x)
            return x @ weights[-1] + biases[-1]

        return outputs


class GaussianPolicy(MLPPolicy):
    """A Gaussian policy, for actions in a Box: observations [..., obs] to Gaussian(mean [..., act], log_std).

    The log-std [act] is the same for all observations: a parameter like the others, adapted with them. With
    `state_std=True` a second half of the MLP's outputs is added to it, so that it depends on the observation,
    [..., act]. It is clamped to [log min_std, log max_std] in the end. Weights and normalisation are as in `MLPPolicy`.

    Raises ValueError where init_std is not between min_std and max_std.
    """

    trunk_name = "mean"

    @checked
    def __init__(
        self,
        observations: Count,
        actions: Count,
        *,
        hidden: Sequence[Count] = (100, 100),
        activation: str = "relu",
        init_std: Positive = 1.0,
        min_std: Positive = 1e-6,
        max_std: Positive = 10.0,
        state_std: bool = False,
    ) -> None:
        if not min_std <= init_std <= max_std:
            raise ValueError(f"init_std is {init_std}: give one from min_std, {min_std}, to max_std, {max_std}")
        super().__init__(observations, actions * (1 + state_std), hidden=hidden, activation=activation)
        self.log_std = nn.Parameter(torch.full((actions,), math.log(init_std)))
        self.bounds, self.state_std = (math.log(min_std), math.log(max_std)), state_std

    def forward(self, observations: Tensor) -> Gaussian:
        mean = self.outputs(observations)
        if not self.state_std:
            return Gaussian(mean, self.log_std.clamp(*self.bounds))
        mean, change = mean.chunk(2, -1)
        return Gaussian(mean, (self.log_std + change).clamp(*self.bounds))

    def arrays(self, params: Mapping[str, np.ndarray]) -> Callable[[np.ndarray], Gaussian]:
        outputs = self.outputs_in_numpy(params)
        same = np.clip(params["log_std"], *self.bounds)

        def predict(x: np.ndarray) -> Gaussian:
            mean = outputs(x)
            if not self.state_std:
                return Gaussian(mean, same)
            mean, change = np.split(mean, 2, -1)
            return Gaussian(mean, np.clip(params["log_std"][:, None] + change, *self.bounds))

        return predict
