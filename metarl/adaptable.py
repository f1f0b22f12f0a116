"""What of a net can be adapted: parameters by their names, and layers that no learner can take."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

HEAD = "head"
"""What every net of metarl calls its last layer; a net of one's own may have a property of this name."""


def names(module: nn.Module, start: str) -> list[str]:
    """The names of the parameters of `module` that `start` means: all of them where it is empty.

    Else those whose name is `start` or goes on with a dot after it, and those of the layer that is found under this
    path of attributes: a net's `head`, say, is its last layer, whatever name that has.
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
    """`names`, of which there must be some: raises ValueError that names `argument`, which had the value `start`."""
    found = names(module, start)
    if not found:
        known = ", ".join(name for name, _ in module.named_parameters()) or "none"
        kind = type(module).__name__
        raise ValueError(f"{argument} is {start!r}, but no parameter's name starts so: {kind} has {known}")
    return found


def check_layers(net: nn.Module) -> None:
    """Raise ValueError where a layer of `net` would not treat every task, and every replay of it, alike."""
    for layer in net.modules():
        kind = type(layer).__name__
        if isinstance(layer, _NormBase) and layer.track_running_stats and layer.training:
            raise ValueError(
                f"{kind} keeps running statistics, which tasks that are adapted side by side cannot share: use "
                "metarl.nets.normalisation.BatchNorm, or track_running_stats=False"
            )
        if isinstance(layer, _DropoutNd) and layer.p > 0 and layer.training:
            raise ValueError(
                f"{kind} would draw anew whenever an adaptation is replayed, and gradients would be of another net "
                "than the one that was judged: leave it out, or put it in eval mode"
            )


def check_second_derivatives(net: nn.Module) -> None:
    """Raise ValueError for a layer whose second derivative torch gets wrong under `torch.func.grad` in `vmap`.

    It does so in silence. In torch 2.13 these are its own normalisations by scale; metarl.nets.normalisation has one.
    """
    for layer in net.modules():
        frozen = isinstance(layer, _NormBase) and layer.track_running_stats and not layer.training
        if isinstance(layer, _NormBase | nn.LayerNorm) and layer.weight is not None and not frozen:
            raise ValueError(
                f"torch's second derivative of {type(layer).__name__}, which this learner needs, is wrong: use "
                "metarl.nets.normalisation.BatchNorm, or torch's nn.GroupNorm"
            )
