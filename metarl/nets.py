"""Networks: multi-layer perceptrons and Gaussian policies."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from metarl.ranges import Count, Positive, checked


class Tanh(torch.autograd.Function):
    """tanh; on the CPU by NumPy's vector instructions, which are several times as fast as torch's."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        if x.device.type != "cpu":
            return torch.tanh(x)
        y = torch.empty_like(x)
        np.tanh(x.detach().numpy(), out=y.numpy())
        return y

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(output)
        ctx.save_for_forward(output)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        return torch.ops.aten.tanh_backward(gradient, y)

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor) -> Tensor:
        return Tanh.backward(ctx, tangent)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int], x: Tensor) -> tuple[Tensor, int]:
        return Tanh.apply(x), in_dims[0]


ACTIVATIONS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[..., np.ndarray]]] = {
    "relu": (torch.relu, lambda x, out: np.maximum(x, 0, out=out)),
    "tanh": (Tanh.apply, np.tanh),
}


LIMIT = 10.0  # of normalised observations
LEAST = 0.1  # deviation that an observation is divided by


def linear(columns: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """[inputs, n] to [outputs, n]: as in torch.nn.functional, but features first.

    The gradients are then laid out as their tensors are, and products with a narrow layer, such as a policy's last,
    are several times as fast as with rows.
    """
    return weight @ columns + bias[:, None]


class MLP(nn.Module):
    """A multi-layer perceptron, [..., inputs] to [..., outputs]; `activation` is "relu" or "tanh".

    Raises ValueError for inputs of another size.
    """

    @checked
    def __init__(
        self, inputs: Count, outputs: Count, *, hidden: Sequence[Count] = (40, 40), activation: str = "relu"
    ) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ValueError(f"unknown activation {activation!r}: choose one of {', '.join(ACTIVATIONS)}")
        self.activation, self.inputs = activation, inputs
        sizes = [inputs, *hidden, outputs]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))

    @property
    def head(self) -> nn.Module:
        """The last layer."""
        return self.layers[-1]

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1:] != (self.inputs,):
            raise ValueError(f"the net takes [..., {self.inputs}] and got {list(x.shape)}: build it for this size")
        act = ACTIVATIONS[self.activation][0]
        *hidden, last = cast("list[nn.Linear]", list(self.layers))
        columns = x.reshape(-1, x.shape[-1]).mT
        for layer in hidden:
            columns = act(linear(columns, layer.weight, layer.bias))
        return linear(columns, last.weight, last.bias).mT.reshape(*x.shape[:-1], len(last.bias))


class GaussianPolicy(nn.Module):
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
