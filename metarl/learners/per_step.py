"""MAML++: step sizes and normalisation of their own for each inner step (Antoniou et al. 2019)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from metarl.core import Loss
from metarl.learners.gradient import GradientLearner
from metarl.nets.normalisation import BatchNorm
from metarl.ranges import Count, Positive, checked

NORMS = (BatchNorm, nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm)


class MAMLPlusPlus(GradientLearner):
    """θ_{k+1} = θ_k − α_{k,layer}∇L_support(θ_k), α learned for each step and layer (Antoniou et al. 2019, LSLR).

    A layer is a module with parameters of its own; every α starts at `lr`. With `norm_per_step`, the scale and shift
    of normalisations are not adapted: the outer loop learns them for the net before the first step and after each
    (BNWB). Further steps than `steps` use the last step's values. Statistics are the net's affair: Conv4 has those of
    the batch it is given at every step and keeps no running ones, so none are kept per step (the paper's BNRS, which
    its published code computes but does not use). The paper's loss, annealed over the steps, is
    `metarl.algorithms.multi_step`.
    """

    @checked
    def __init__(
        self, net: nn.Module, loss: Loss, *, steps: Count = 5, lr: Positive = 0.1, norm_per_step: bool = True
    ) -> None:
        super().__init__(net, loss, steps=steps, lr=lr)
        norms = [path for path, module in net.named_modules() if norm_per_step and isinstance(module, NORMS)]
        fixed = {name: p for name, p in net.named_parameters() if _layer(name) in norms}
        self.names = [name for name in self.names if name not in fixed]
        self.layers = list(dict.fromkeys(map(_layer, self.names)))
        self.layer_lrs = nn.Parameter(torch.full((steps, len(self.layers)), float(lr)))
        self.norms = nn.ParameterDict(  # row k: after inner step k
            {name.replace(".", "/"): p.detach().expand(steps, *p.shape).clone() for name, p in fixed.items()}
        )

    def copy_initial_norms(self) -> None:
        """Let the normalisations after each step begin as those before the first."""
        with torch.no_grad():
            for name in self._fixed:
                self.norms[name.replace(".", "/")].copy_(self.net.get_parameter(name))

    def init(self) -> dict[str, Tensor]:
        return {**super().init(), **{name: self.net.get_parameter(name) for name in self._fixed}}

    def descend(self, state: dict[str, Tensor], gradients: dict[str, Tensor], k: int) -> dict[str, Tensor]:
        k = min(k, self.steps - 1)
        lrs = dict(zip(self.layers, self.layer_lrs[k], strict=True))
        moved = {name: state[name] - lrs[_layer(name)] * gradients[name] for name in self.names}
        fixed = {name: self.norms[name.replace(".", "/")][k].expand_as(state[name]) for name in self._fixed}
        return {**moved, **fixed}

    @property
    def _fixed(self) -> list[str]:
        """The names of what is not adapted."""
        return [name.replace("/", ".") for name in self.norms]


def _layer(name: str) -> str:
    """The module that a parameter belongs to."""
    return name.rpartition(".")[0]
