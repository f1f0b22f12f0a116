"""Gaussian policies."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from metarl.described import Described
from metarl.nets.mlp import ACTIVATIONS, MLP
from metarl.ranges import Count, Positive, checked

LIMIT = 10.0  # of normalised observations
LEAST = 0.1  # deviation that an observation is divided by


class GaussianPolicy(Described, nn.Module):
    """A Gaussian policy with a state-independent log-std: observations [..., obs] to (mean [..., act], log_std [act]).

    Glorot-uniform weights and zero biases as in rllab, which the MAML paper used. The log-std is a parameter like the
    others, adapted with them, and is clamped to [log min_std, log max_std]. Observations may be normalised by constants
    (`normalise`), which no loop changes.

    Raises ValueError where init_std is not between min_std and max_std.
    """

    shift: Tensor
    scale: Tensor
    limit: Tensor

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
    ) -> None:
        super().__init__()
        if not min_std <= init_std <= max_std:
            raise ValueError(f"init_std is {init_std}: give one from min_std, {min_std}, to max_std, {max_std}")
        self.mean = MLP(observations, actions, hidden=hidden, activation=activation)
        for name, parameter in self.mean.named_parameters():
            if name.endswith("weight"):
                nn.init.xavier_uniform_(parameter)
            else:
                nn.init.zeros_(parameter)
        self.log_std = nn.Parameter(torch.full((actions,), math.log(init_std)))
        self.bounds = (math.log(min_std), math.log(max_std))
        self.register_buffer("shift", torch.zeros(observations))
        self.register_buffer("scale", torch.ones(observations))
        self.register_buffer("limit", torch.tensor(math.inf))

    @property
    def head(self) -> nn.Module:
        """The last layer of the means: the log-std is not among it."""
        return self.mean.head

    def forward(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        inputs = ((observations - self.shift) * self.scale).clamp(-self.limit, self.limit)
        return self.mean(inputs), self.log_std.clamp(*self.bounds)

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

    def arrays(self, params: Mapping[str, np.ndarray]) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
        """The policies of T tasks as one batched product in NumPy: [T, N, obs] to ([T, N, act], [T, act]).

        `params` holds this module's parameters, each stacked over tasks, [T, …]. Small products are several times
        faster so than in torch, and no torch thread disturbs the simulator's.
        """
        depth = len(self.mean.layers)
        weights = [np.ascontiguousarray(params[f"mean.layers.{i}.weight"].swapaxes(1, 2)) for i in range(depth)]
        biases = [params[f"mean.layers.{i}.bias"][:, None] for i in range(depth)]
        log_std = np.clip(params["log_std"], *self.bounds)
        act = ACTIVATIONS[self.mean.activation][1]
        inputs = self.inputs()

        def predict(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            if x.shape[-1] != weights[0].shape[1]:
                raise ValueError(
                    f"the policy takes {weights[0].shape[1]} observations and got {x.shape[-1]}: build it with the "
                    "environment's sizes"
                )
            if x.ndim != 3 or len(x) != len(log_std):
                raise ValueError(f"observations have the shape {x.shape}: give [T, N, obs] of {len(log_std)} tasks")
            x = inputs(x)
            for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
                x = x @ weight
                x += bias
                act(x, out=x)
            return x @ weights[-1] + biases[-1], log_std

        return predict
