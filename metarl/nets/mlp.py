"""Multi-layer perceptrons."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from metarl.described import Described
from metarl.ranges import Count, checked


class Tanh(torch.autograd.Function):
    """tanh, computed on the CPU by NumPy, which is several times as fast as torch."""

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


def tanh(x: Tensor) -> Tensor:
    """`Tanh`, or torch's own where a graph of torch's operations is made: in tracing, exporting and compiling."""
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return torch.tanh(x)
    return Tanh.apply(x)


ACTIVATIONS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[..., np.ndarray]]] = {
    "relu": (torch.relu, lambda x, out: np.maximum(x, 0, out=out)),
    "tanh": (tanh, np.tanh),
}


def linear(columns: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A linear layer on columns, [inputs, n] to [outputs, n].

    Gradients then have the memory layout of their tensors, and products with a narrow layer, such as a policy's last
    one, are several times as fast as with rows.
    """
    return weight @ columns + bias[:, None]


class MLP(Described, nn.Module):
    """A multi-layer perceptron, [..., inputs] to [..., outputs], with the `activation` "relu" or "tanh".

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
