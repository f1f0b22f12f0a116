"""The meta-gradients of the benchmark in JAX, if it is installed, with nets and losses that are written in JAX."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from metarl.losses import mse

if TYPE_CHECKING:
    from metarl.experiments.benchmark.supervised import Problem

Arrays = list[Any]  # parameters in the order of torch's, as JAX arrays
Apply = Callable[[Arrays, Any], Any]
GradientInJax = Callable[[Arrays, Sequence[Any], Sequence[Any]], Arrays]


def jax_gradients(problem: Problem) -> dict[str, Callable[[], list[Tensor]]]:
    """Functions for the meta-gradient of `problem`: all tasks at once by jit and vmap, or one after another by jit.

    Data and parameters are converted to JAX beforehand. The functions also convert the gradient to tensors, which is
    included in their time. Raises ImportError if JAX is not installed.
    """
    jax = import_module("jax")
    jax.config.update("jax_enable_x64", True)  # the dtype is then that of the data
    parameters = [jax.numpy.asarray(p.detach().numpy()) for p in problem.net.parameters()]
    support = [tuple(jax.numpy.asarray(part.numpy()) for part in batch) for batch in problem.episodes.support]
    query = tuple(jax.numpy.asarray(part.numpy()) for part in problem.episodes.query)
    gradient = task_gradient(jax, network(jax, problem.net), in_jax(jax, problem.loss), lr=problem.lr)
    at_once = jax.jit(
        lambda *arguments: [g.mean(0) for g in jax.vmap(gradient, in_axes=(None, 0, 0))(*arguments)]
    )
    alone = jax.jit(gradient)

    def vmapped() -> list[Tensor]:
        return as_tensors(jax, at_once(parameters, support, query))

    tasks = [
        ([tuple(part[t] for part in batch) for batch in support], tuple(part[t] for part in query))
        for t in range(len(query[0]))
    ]

    def looped() -> list[Tensor]:
        found = [alone(parameters, *task) for task in tasks]
        return as_tensors(jax, [sum(parts) / len(tasks) for parts in zip(*found, strict=True)])

    return {"JAX, jit and vmap": vmapped, "JAX, jit and loop": looped}


def task_gradient(jax: Any, apply: Apply, loss: Callable[[Any, Any], Any], *, lr: float) -> GradientInJax:
    """A function for the gradient of one task's query loss after inner steps by the initial parameters."""

    def query_loss(parameters: Arrays, support: Sequence[Any], query: Sequence[Any]) -> Any:
        for x, y in support:
            gradients = jax.grad(lambda p: loss(apply(p, x), y))(parameters)  # noqa: B023
            parameters = [p - lr * g for p, g in zip(parameters, gradients, strict=True)]
        return loss(apply(parameters, query[0]), query[1])

    gradient: GradientInJax = jax.grad(query_loss)
    return gradient


def network(jax: Any, net: nn.Module) -> Apply:
    """The function of parameters and inputs that `net`, a `torch.nn.Sequential`, computes.

    Raises ValueError for a layer that is not among `LAYERS`.
    """
    layers = list(net.children())
    unknown = {type(layer).__name__ for layer in layers if type(layer) not in LAYERS}
    if unknown:
        raise ValueError(f"{unknown.pop()} has no counterpart in JAX here: use {', '.join(k.__name__ for k in LAYERS)}")

    def apply(parameters: Arrays, x: Any) -> Any:
        left = list(parameters)
        for layer in layers:
            own, left = left[: len(list(layer.parameters()))], left[len(list(layer.parameters())) :]
            x = LAYERS[type(layer)](jax, layer, own, x)
        return x

    return apply


def _linear(jax: Any, layer: Any, own: Arrays, x: Any) -> Any:
    return x @ own[0].T + own[1]


def _convolution(jax: Any, layer: Any, own: Arrays, x: Any) -> Any:
    padding = [(size, size) for size in layer.padding]
    return jax.lax.conv_general_dilated(x, own[0], layer.stride, padding)  # NCHW, without a bias


def _normalisation(jax: Any, layer: Any, own: Arrays, x: Any) -> Any:
    x = x - x.mean((0, 2, 3), keepdims=True)
    scale = own[0] * jax.lax.rsqrt((x * x).mean((0, 2, 3)) + layer.eps)
    return x * scale[:, None, None] + own[1][:, None, None]


def _pooling(jax: Any, layer: Any, own: Arrays, x: Any) -> Any:
    n, channels, height, width = x.shape
    size = layer.kernel_size
    return x.reshape(n, channels, height // size, size, width // size, size).mean((3, 5))


LAYERS: dict[type[nn.Module], Callable[[Any, Any, Arrays, Any], Any]] = {
    nn.Linear: _linear,
    nn.ReLU: lambda jax, layer, own, x: jax.nn.relu(x),
    nn.Conv2d: _convolution,
    nn.BatchNorm2d: _normalisation,
    nn.AvgPool2d: _pooling,
    nn.Flatten: lambda jax, layer, own, x: x.reshape(len(x), -1),
}


def in_jax(jax: Any, loss: object) -> Callable[[Any, Any], Any]:
    """metarl's `mse`, or otherwise its `cross_entropy`, in JAX: a function of outputs and targets."""
    if loss is mse:
        return lambda outputs, y: ((outputs - y) ** 2).mean()
    return lambda outputs, y: -jax.numpy.take_along_axis(jax.nn.log_softmax(outputs), y[:, None], 1).mean()


def as_tensors(jax: Any, arrays: Arrays) -> list[Tensor]:
    """Wait until JAX has computed the arrays, and convert them to tensors."""
    return [torch.from_numpy(np.array(array)) for array in jax.block_until_ready(arrays)]
