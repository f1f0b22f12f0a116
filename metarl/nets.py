"""Networks: multi-layer perceptrons and Gaussian policies."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

ACTIVATIONS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[..., np.ndarray]]] = {
    "relu": (torch.relu, lambda x, out: np.maximum(x, 0, out=out)),
    "tanh": (torch.tanh, np.tanh),
}


LIMIT = 10.0  # of normalised observations
LEAST = 0.1  # deviation that an observation is divided by


def linear(rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """As in torch.nn.functional, for rows [n, inputs]; faster to differentiate twice.

    The weight is laid out as the product takes it: PyTorch otherwise hands some second derivatives on transposed, and
    what is done to them element by element then takes several times as long.
    """
    return rows @ weight.mT.contiguous() + bias


class MLP(nn.Module):
    """A multi-layer perceptron, [..., inputs] to [..., outputs]; `activation` is "relu" or "tanh"."""

    def __init__(
        self, inputs: int, outputs: int, *, hidden: Sequence[int] = (40, 40), activation: str = "relu"
    ) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(f"unknown activation {activation!r}: choose one of {', '.join(ACTIVATIONS)}")
        self.activation = activation
        sizes = [inputs, *hidden, outputs]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))

    def forward(self, x: Tensor) -> Tensor:
        act = ACTIVATIONS[self.activation][0]
        *hidden, last = cast("list[nn.Linear]", list(self.layers))
        rows = x.reshape(-1, x.shape[-1])
        for layer in hidden:
            rows = act(linear(rows, layer.weight, layer.bias))
        return linear(rows, last.weight, last.bias).view(*x.shape[:-1], -1)


class GaussianPolicy(nn.Module):
    """A Gaussian policy with a state-independent log-std: observations [..., obs] to (mean [..., act], log_std [act]).

    Glorot-uniform weights and zero biases as in rllab, which the MAML paper used. The log-std is a parameter like the
    others, adapted with them, and is clamped to [log min_std, log max_std]. Observations may be normalised by constants
    (`normalise`), which no loop changes.
    """

    shift: Tensor
    scale: Tensor
    limit: Tensor

    def __init__(
        self,
        observations: int,
        actions: int,
        *,
        hidden: Sequence[int] = (100, 100),
        activation: str = "relu",
        init_std: float = 1.0,
        min_std: float = 1e-6,
        max_std: float = 10.0,
    ) -> None:
        super().__init__()
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

    def forward(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        inputs = ((observations - self.shift) * self.scale).clamp(-self.limit, self.limit)
        return self.mean(inputs), self.log_std.clamp(*self.bounds)

    def normalise(self, observations: Tensor) -> None:
        """Shift and scale inputs from now on so that `observations` [n, obs] would have mean 0 and deviation 1.

        What hardly varies in them is divided by `LEAST` in place of its deviation. Inputs are cut at ±`LIMIT`.
        """
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
            x = inputs(x)
            for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
                x = x @ weight
                x += bias
                act(x, out=x)
            return x @ weights[-1] + biases[-1], log_std

        return predict
