"""A convolutional module that is fast on CPUs to differentiate twice, with weights of each task's own.

Its first and second derivatives are written out in the library's fast calls, where torch builds the second of many slow
ones: its second derivative of a convolution swaps images and channels. Under vmap, tasks lie next to the channels in
memory, [n, height, width, task, channel]: one grouped convolution, and one normalisation of more channels, serve all
tasks without a copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional


def convolve(x: Tensor, weight: Tensor, scale: Tensor, shift: Tensor, *, stride: int, epsilon: float) -> Tensor:
    """relu(batch_norm(conv2d(x, weight, padding=1), scale, shift)) with the batch's own mean and variance.

    Images [n, c, h, w], weight [o, c, 3, 3], scale and shift [o]. The third derivative raises RuntimeError.
    """
    return Module.apply(x, weight, scale, shift, stride, epsilon)[0]


class _OverTasks(Function):
    """A function whose tasks, under vmap, are further groups of channels of one call."""

    # the axis of channels of each tensor it takes and gives: 1 of images, 0 of weights and of vectors
    takes: tuple[int, ...]
    gives: tuple[int, ...]

    @classmethod
    def tasks(cls, info: Any, dims: Sequence[int | None], args: Sequence[Any]) -> tuple[Any, Any]:
        size, count = info.batch_size, len(cls.takes)
        merged = [_merge(t, dim, size, axis) for t, dim, axis in zip(args, dims, cls.takes, strict=False)]
        outs = cls.apply(*merged, *args[count:])
        axes = cls.gives[: len(outs)]
        return tuple(out.unflatten(axis, (size, -1)) for out, axis in zip(outs, axes, strict=True)), axes


def _merge(x: Tensor | None, dim: int | None, tasks: int, axis: int) -> Tensor | None:
    """Merge the tasks, dimension `dim` of x or none, into its axis of channels."""
    if x is None:
        return None
    x = x.unsqueeze(axis).expand(*x.shape[:axis], tasks, *x.shape[axis:]) if dim is None else x.movedim(dim, axis)
    return x.flatten(axis, axis + 1)


class Module(_OverTasks):
    """x, weight, scale, shift to y = relu(scale·ẑ + shift), z, its mean, and r.

    z is the convolution, ẑ = r·(z − mean) and r = (variance + ε)^−½. The derivative is of y alone.
    """

    takes, gives = (1, 0, 0, 0), (1, 1, 0, 0)

    @staticmethod
    def forward(
        x: Tensor, weight: Tensor, scale: Tensor, shift: Tensor, stride: int, epsilon: float
    ) -> tuple[Tensor, ...]:
        z = _convolution(_last(x), weight, stride)
        y, mean, r = torch.native_batch_norm(_last(z), scale, shift, None, None, True, 0.0, epsilon)
        return y.relu_(), z, mean, r

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.mark_non_differentiable(*output[1:])
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*inputs[:3], *output)
        ctx.settings = inputs[4:]

    @staticmethod
    def backward(ctx: Any, g: Tensor | None, *_: Any) -> tuple[Tensor | None, ...]:
        if g is None:
            return (None,) * 6
        by_weight, by_scale, by_shift, _, *by_x = ModuleBackward.apply(
            g, *ctx.saved_tensors, *ctx.settings, ctx.needs_input_grad[0]
        )
        return by_x[0] if by_x else None, by_weight, by_scale, by_shift, None, None

    @staticmethod
    def vmap(info: Any, dims: Any, *args: Any) -> tuple[Any, Any]:
        return Module.tasks(info, dims, args)


class ModuleBackward(_OverTasks):
    """The gradients of Module's y by weight, scale, shift, z and, where asked for, x, for its output gradient g.

    With g zero where the ReLU is shut, a bar for the mean over the m positions of all images, and c = mean(g·ẑ), they
    are, by z: scale·r·(g − ḡ − c·ẑ); by scale: m·c; by shift: m·ḡ.
    """

    takes, gives = (1, 1, 0, 0, 1, 1, 0, 0), (0, 0, 0, 1, 1)

    @staticmethod
    def forward(
        g: Tensor, x: Tensor, weight: Tensor, scale: Tensor, y: Tensor, z: Tensor, mean: Tensor, r: Tensor, *rest: Any
    ) -> tuple[Tensor, ...]:
        stride, epsilon, by_x = rest
        g = torch.ops.aten.threshold_backward(_last(g), y, 0)
        by_z, by_scale, by_shift = _normalised(g, z, scale, mean, r, epsilon)
        by = _gradients(by_z, x, weight, stride, by_x)
        return by[1], by_scale, by_shift, by_z, *by[:1][: int(by_x)]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.mark_non_differentiable(output[3])
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*inputs[:8], *output[1:4])
        ctx.settings = inputs[8:]

    @staticmethod
    def backward(ctx: Any, *given: Tensor | None) -> tuple[Tensor | None, ...]:
        by_weight, by_scale, by_shift, _, *by_x = given
        stride, epsilon, _ = ctx.settings
        u = (by_weight, by_scale, by_shift, by_x[0] if by_x else None)
        out = ModuleSecond.apply(*ctx.saved_tensors, *u, stride, epsilon, ctx.needs_input_grad[1])
        d_g, d_weight, d_scale, *d_x = out
        return d_g, d_x[0] if d_x else None, d_weight, d_scale, *[None] * 7

    @staticmethod
    def vmap(info: Any, dims: Any, *args: Any) -> tuple[Any, Any]:
        return ModuleBackward.tasks(info, dims, args)


class ModuleSecond(_OverTasks):
    """The derivative of ModuleBackward by g, weight, scale and, where asked for, x; it has none of its own.

    `u_…` are the cotangents of ModuleBackward's gradients, None for zero.
    """

    takes, gives = (1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 1, 0, 0, 0, 1), (1, 0, 0, 1)

    @staticmethod
    def forward(*args: Any) -> tuple[Tensor, ...]:
        g, x, weight, scale, y, z, mean, r, mc, mg, by_z, u_weight, u_scale, u_shift, u_x, *settings = args
        stride, epsilon, by_x = settings
        s, t = (torch.zeros_like(scale) if u is None else u for u in (u_scale, u_shift))
        g = torch.ops.aten.threshold_backward(_last(g), y, 0)

        # u is the cotangent of by_z; of_… are factors of the derivative by z
        u = torch.zeros_like(z) if u_weight is None else _convolution(x, u_weight, stride)
        if u_x is not None:
            u += _convolution(u_x, weight, stride)
        d_g, mp, mu = _normalised(u, z, scale, mean, r, epsilon)
        m = z.numel() // len(mean)
        c, p, g_mean, u_mean = (v / m for v in (mc, mp, mg, mu))
        q = (u * g).mean((0, 2, 3)) - u_mean * g_mean - p * c  # the sum of u·by_z is m·scale·r·q
        of_u, of_g = -scale * r * r * c, r * (s - scale * r * p)
        of_z = r * r * (scale * r * (2 * c * p - q) - s * c)
        d_z = _combine(-of_u * u_mean - of_g * g_mean - of_z * mean, (of_u, u), (of_g, g), (of_z, z))
        d_g += _combine(t - s * r * mean, (s * r, z))
        d_g = torch.ops.aten.threshold_backward(d_g, y, 0)

        d_x, d_weight = _gradients(d_z, x, weight, stride, by_x)
        if u_x is not None:
            d_weight += _gradients(by_z, u_x, weight, stride, False)[1]
        if u_weight is not None and by_x:
            d_x += _gradients(by_z, x, u_weight, stride, True, by_weight=False)[0]
        return d_g, d_weight, m * r * q, *[d_x][: int(by_x)]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *_: Any) -> Any:
        raise RuntimeError("convolve has no third derivative: build Conv4 with method='torch'")

    @staticmethod
    def vmap(info: Any, dims: Any, *args: Any) -> tuple[Any, Any]:
        return ModuleSecond.tasks(info, dims, args)


def _last(x: Tensor) -> Tensor:
    """x with its channels last in memory."""
    return x.contiguous(memory_format=torch.channels_last)


def _convolution(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    return functional.conv2d(_last(x), weight, stride=stride, padding=1, groups=x.shape[1] // weight.shape[1])


def _gradients(
    y: Tensor, x: Tensor, weight: Tensor, stride: int, by_x: bool, *, by_weight: bool = True
) -> tuple[Any, Any]:
    """A convolution's gradients by x and by weight, or None, for the output gradient y."""
    groups = x.shape[1] // weight.shape[1]
    settings = ([stride] * 2, [1, 1], [1, 1], False, [0, 0], groups, [by_x, by_weight, False])
    return torch.ops.aten.convolution_backward(_last(y), _last(x), weight, [0], *settings)[:2]


def _normalised(g: Tensor, z: Tensor, scale: Tensor, mean: Tensor, r: Tensor, epsilon: float) -> tuple[Tensor, ...]:
    """The gradients of scale·ẑ + shift by z, scale and shift."""
    backward = torch.ops.aten.native_batch_norm_backward
    return backward(_last(g), _last(z), scale, None, None, mean, r, True, epsilon, [True] * 3)


def _combine(constant: Tensor, *terms: tuple[Tensor, Tensor]) -> Tensor:
    """constant [c] + Σ factor [c]·image [n, c, h, w]."""
    (factor, image), *rest = terms
    out = torch.addcmul(constant[:, None, None], factor[:, None, None], image)
    for factor, image in rest:
        out.addcmul_(factor[:, None, None], image)
    return out
