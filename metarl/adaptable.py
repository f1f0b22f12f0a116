"""Which parameters of a net an inner loop adapts, and checks for layers that cannot be adapted."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

HEAD = "head"
"""The attribute in which every net of metarl holds its last layer; your own nets may have it as a property."""


def names(module: nn.Module, start: str) -> list[str]:
    """The names of the parameters of `module` that `start` selects: all of them if it is empty.

    Otherwise `start` selects the parameter of this name, the parameters whose names start with it and a dot, and those
    of the submodule at this path of attributes: "head" selects a net's last layer, whatever its parameters are called.
    """
    found: object = module
    for name in start.split("."):
        found = getattr(found, name, None)
    inside = {id(parameter) for parameter in found.parameters()} if isinstance(found, nn.Module) else set()
    return [
        name for name, parameter in module.named_parameters()
        if not start or name == start or name.startswith(f"{start}.") or id(parameter) in inside
    ]  # fmt: skip


def check_names(module: nn.Module, start: str, argument: str) -> list[str]:
    """`names`, but raise ValueError if there are none. The message names `argument`, whose value `start` is."""
    found = names(module, start)
    if not found:
        known = ", ".join(name for name, _ in module.named_parameters()) or "none"
        kind = type(module).__name__
        raise ValueError(f"{argument} is {start!r}, but no parameter's name starts with it: {kind} has {known}")
    return found


def check_layers(net: nn.Module) -> None:
    """Raise ValueError for a layer that computes something else in another task or in a replay of the adaptation.

    Running statistics mix tasks; dropout draws a new mask in each replay.
    """
    for layer in net.modules():
        kind = type(layer).__name__
        if isinstance(layer, _NormBase) and layer.track_running_stats and layer.training:
            raise ValueError(
                f"{kind} keeps running statistics, which tasks that are adapted in parallel cannot share: use "
                "metarl.nets.BatchNorm, or track_running_stats=False, or in a policy nn.LayerNorm"
            )
        if isinstance(layer, _DropoutNd) and layer.p > 0 and layer.training:
            raise ValueError(
                f"{kind} draws a new mask whenever an adaptation is replayed, so the meta-gradient would be that of "
                "a different net: leave it out, or put it in eval mode"
            )


def check_second_derivatives(net: nn.Module) -> None:
    """Raise ValueError for a layer whose second derivative torch computes wrongly under `torch.func.grad` in `vmap`.

    torch 2.13 does so without an error for its batch, instance and layer normalisation with learned scales.
    """
    for layer in net.modules():
        frozen = isinstance(layer, _NormBase) and layer.track_running_stats and not layer.training
        if isinstance(layer, _NormBase | nn.LayerNorm) and layer.weight is not None and not frozen:
            raise ValueError(
                f"torch computes a wrong second derivative of {type(layer).__name__}, which this learner needs: use "
                "metarl.nets.BatchNorm, or torch's nn.GroupNorm"
            )
