"""Convolution and normalisation that are fast on CPUs to differentiate twice, with weights of each task's own.

Both say their derivatives in the library's fast calls, where torch's second derivatives are built of many slow ones.
Under vmap, tasks lie next to the channels in memory, [n, height, width, task, channel]: one grouped convolution, and
one normalisation of more channels, serves all tasks without a copy.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional


def convolve(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """conv2d(x, weight, padding=1), faster on CPUs to differentiate twice with a weight per task.

    A convolution is bilinear: its two derivatives and their derivatives are again itself, its transpose and its weight
    gradient, one call each. Torch's second derivative swaps images and channels and takes several times as long.
    """
    return Convolve.apply(x, weight, stride, 1)


class _Bilinear(Function):
    """One of three maps of images x [n, groups·c, h, w], weights [groups·o, c, 3, 3], outputs y [n, groups·o, …].

    Each takes two of the three, and gives the third; under vmap the tasks are further groups. `axes` are the axes of
    groups of what it takes and what it gives: 1 of images, 0 of weights.
    """

    axes: tuple[int, int, int]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[:2])
        ctx.stride, ctx.groups = inputs[2:4]

    @classmethod
    def tasks(
        cls, info: Any, dims: tuple[int | None, ...], a: Tensor, b: Tensor, stride: int, groups: int, *rest: Any
    ) -> tuple[Tensor, int]:
        a, b = (_merge(t, d, info.batch_size, axis) for t, d, axis in zip((a, b), dims, cls.axes, strict=False))
        out = cls.apply(a, b, stride, groups * info.batch_size, *rest)
        return out.unflatten(cls.axes[2], (info.batch_size, -1)), cls.axes[2]


def _merge(x: Tensor, dim: int | None, tasks: int, axis: int) -> Tensor:
    """Merge the tasks, dimension `dim` of x or none, into its axis of groups."""
    x = x.unsqueeze(axis).expand(*x.shape[:axis], tasks, *x.shape[axis:]) if dim is None else x.movedim(dim, axis)
    return x.flatten(axis, axis + 1)


def _derivative(y: Tensor, x: Tensor, weight: Tensor, stride: int, groups: int, *, by_weight: bool) -> Tensor:
    """The gradient of a convolution of x and weight, by one of them, for the output gradient y."""
    mask = [not by_weight, by_weight, False]
    given = torch.ops.aten.convolution_backward(
        y, x, weight, [0], [stride] * 2, [1, 1], [1, 1], False, [0, 0], groups, mask
    )
    return given[int(by_weight)]


class Convolve(_Bilinear):
    """x, weight to y."""

    axes = (1, 0, 1)

    @staticmethod
    def forward(x: Tensor, weight: Tensor, stride: int, groups: int) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        return functional.conv2d(x, weight, stride=stride, padding=1, groups=groups)

    @staticmethod
    def backward(ctx: Any, y: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        by_x = ToImages.apply(y, weight, ctx.stride, ctx.groups, x.shape[2:]) if ctx.needs_input_grad[0] else None
        return by_x, ToWeight.apply(y, x, ctx.stride, ctx.groups), None, None

    @staticmethod
    def vmap(info: Any, dims: Any, *args: Any) -> tuple[Tensor, int]:
        return Convolve.tasks(info, dims, *args)


class ToImages(_Bilinear):
    """y, weight to x of height and width `size`."""

    axes = (1, 0, 1)

    @staticmethod
    def forward(y: Tensor, weight: Tensor, stride: int, groups: int, size: tuple[int, int]) -> Tensor:
        y = y.contiguous(memory_format=torch.channels_last)
        x = torch.empty(
            (len(y), groups * weight.shape[1], *size),
            dtype=y.dtype,
            device=y.device,
            memory_format=torch.channels_last,
        )
        return _derivative(y, x, weight, stride, groups, by_weight=False)

    @staticmethod
    def backward(ctx: Any, x: Tensor) -> tuple[Tensor | None, ...]:
        y, weight = ctx.saved_tensors
        return (
            Convolve.apply(x, weight, ctx.stride, ctx.groups),
            ToWeight.apply(y, x, ctx.stride, ctx.groups),
            None,
            None,
            None,
        )

    @staticmethod
    def vmap(info: Any, dims: Any, *args: Any) -> tuple[Tensor, int]:
        return ToImages.tasks(info, dims, *args)


class ToWeight(_Bilinear):
    """y, x to weight."""

    axes = (1, 1, 0)

    @staticmethod
    def forward(y: Tensor, x: Tensor, stride: int, groups: int) -> Tensor:
        y, x = (t.contiguous(memory_format=torch.channels_last) for t in (y, x))
        weight = y.new_empty(y.shape[1], x.shape[1] // groups, 3, 3)
        return _derivative(y, x, weight, stride, groups, by_weight=True)

    @staticmethod
    def backward(ctx: Any, weight: Tensor) -> tuple[Tensor | None, ...]:
        y, x = ctx.saved_tensors
        by_x = ToImages.apply(y, weight, ctx.stride, ctx.groups, x.shape[2:]) if ctx.needs_input_grad[1] else None
        return Convolve.apply(x, weight, ctx.stride, ctx.groups), by_x, None, None

    @staticmethod
    def vmap(info: Any, dims: Any, *args: Any) -> tuple[Tensor, int]:
        return ToWeight.tasks(info, dims, *args)


def normalise(x: Tensor, scale: Tensor, shift: Tensor, epsilon: float) -> Tensor:
    """relu(batch_norm(x, …)) with the batch's own mean and variance: images [n, c, h, w], scale and shift [c].

    It can be differentiated twice; the third derivative raises RuntimeError.
    """
    return Normalise.apply(x, scale, shift, epsilon)[0]


class _OverChannels(Function):
    """Functions of images [n, c, h, w] and of vectors [c]: under vmap the tasks are further channels."""

    @classmethod
    def tasks(cls, info: Any, dims: tuple[int | None, ...], *args: Any) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        *tensors, epsilon = args
        axes = (0 if t.dim() - (d is not None) == 1 else 1 for t, d in zip(tensors, dims, strict=False))
        merged = (_merge(t, d, info.batch_size, axis) for t, d, axis in zip(tensors, dims, axes, strict=False))
        outs = cls.apply(*merged, epsilon)
        to = tuple(0 if out.dim() == 1 else 1 for out in outs)
        return tuple(out.unflatten(axis, (info.batch_size, -1)) for out, axis in zip(outs, to, strict=True)), to


class Normalise(_OverChannels):
    """x, scale, shift to relu(scale·x̂ + shift), mean and r, for x̂ = r·(x − mean) and r = (variance + ε)^−½."""

    @staticmethod
    def forward(x: Tensor, scale: Tensor, shift: Tensor, epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
        x = x.contiguous(memory_format=torch.channels_last)
        y, mean, r = torch.native_batch_norm(x, scale, shift, None, None, True, 0.0, epsilon)
        return y.relu_(), mean, r

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.mark_non_differentiable(*output[1:])
        ctx.save_for_backward(*inputs[:2], *output)
        ctx.epsilon = inputs[3]

    @staticmethod
    def backward(ctx: Any, g: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        return *NormaliseBackward.apply(g, *ctx.saved_tensors, ctx.epsilon), None

    @staticmethod
    def vmap(info: Any, dims: Any, *args: Any) -> Any:
        return Normalise.tasks(info, dims, *args)


class NormaliseBackward(_OverChannels):
    """The gradients of Normalise by x, scale and shift, with their derivative written out.

    For g the output gradient where the ReLU is open, a bar a mean over n, h and w of which there are m, and c = mean of
    g·x̂: by x it is scale·r·(g − ḡ − c·x̂), by scale m·c, by shift m·ḡ.
    """

    @staticmethod
    def forward(
        g: Tensor, x: Tensor, scale: Tensor, y: Tensor, mean: Tensor, r: Tensor, epsilon: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        return _backward(torch.ops.aten.threshold_backward(g, y, 0), x, scale, mean, r, epsilon)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.save_for_backward(*inputs[:6], *output[1:])
        ctx.epsilon = inputs[6]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, u: Tensor, s: Tensor, t: Tensor) -> tuple[Tensor | None, ...]:
        g, x, scale, y, mean, r, mc, mg = ctx.saved_tensors
        g = torch.ops.aten.threshold_backward(g, y, 0)
        m = x.numel() // len(mean)
        by_g, mp, mu = _backward(u, x, scale, mean, r, ctx.epsilon)
        c, p, g_mean, u_mean = (v / m for v in (mc, mp, mg, mu))
        q = (u * g).mean((0, 2, 3)) - u_mean * g_mean - p * c  # u·(gradient by x) is m·scale·r·q
        of_u, of_g = -scale * r * r * c, r * (s - scale * r * p)
        of_x = (r * (2 * scale * r * c * p - s * c) - scale * r * r * q) * r  # of x − mean
        constant = -of_u * u_mean - of_g * g_mean - of_x * mean
        by_x = _combine((of_u, u), (of_g, g), (of_x, x), constant)
        by_g = _combine((torch.ones_like(s), by_g), (s * r, x), t - s * r * mean)
        return torch.ops.aten.threshold_backward(by_g, y, 0), by_x, m * r * q, None, None, None, None

    @staticmethod
    def vmap(info: Any, dims: Any, *args: Any) -> Any:
        return NormaliseBackward.tasks(info, dims, *args)


def _backward(
    g: Tensor, x: Tensor, scale: Tensor, mean: Tensor, r: Tensor, epsilon: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of scale·x̂ + shift by x, scale and shift."""
    g, x = (t.contiguous(memory_format=torch.channels_last) for t in (g, x))
    return torch.ops.aten.native_batch_norm_backward(g, x, scale, None, None, mean, r, True, epsilon, [True] * 3)


def _combine(first: tuple[Tensor, Tensor], *rest: Any) -> Tensor:
    """Σ coefficient [c]·image + constant [c]."""
    *more, constant = rest
    out = torch.addcmul(constant[:, None, None], first[0][:, None, None], first[1])
    for factor, image in more:
        out.addcmul_(factor[:, None, None], image)
    return out
