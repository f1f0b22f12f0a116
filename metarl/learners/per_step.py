"""MAML++: learned learning rates and normalisation parameters for each inner step (Antoniou et al. 2019)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from metarl.core import Loss
from metarl.learners.gradient import GradientLearner
from metarl.nets.normalisation import BatchNorm
from metarl.ranges import Count, Positive, checked

NORMS = (BatchNorm, nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm)


class MAMLPlusPlus(GradientLearner):
    """MAML with learned learning rates for each step and layer: θ_{k+1} = θ_k − α_{k,layer}∇L_support(θ_k).

    See Antoniou et al. 2019 (LSLR). A layer is a module that has parameters. With `norm_per_step`, the scales and
    shifts of normalisations are not adapted; instead, the outer loop learns them separately for the net before the
    first step and after each step (BNWB). Steps beyond `steps` use the values of the last one. Statistics are those of
    the current batch, and running statistics for each step are not kept (the paper's BNRS, which its published code
    computes but does not use). The annealed multi-step loss is the outer loop `metarl.algorithms.multi_step`.

    Args:
        steps: number of inner steps
        lr: initial value of all inner learning rates
        norm_per_step: learn the scales and shifts of normalisations for each step instead of adapting them
        rematerialise: recompute inner steps in the backward pass: memory grows with √steps, and time by about a third
    """

    @checked
    def __init__(
        self,
        net: nn.Module,
        loss: Loss,
        *,
        steps: Count = 5,
        lr: Positive = 0.1,
        norm_per_step: bool = True,
        rematerialise: bool = False,
    ) -> None:
        super().__init__(net, loss, steps=steps, lr=lr, rematerialise=rematerialise)
        norms = [path for path, module in net.named_modules() if norm_per_step and isinstance(module, NORMS)]
        fixed = {name: p for name, p in net.named_parameters() if _layer(name) in norms}
        self.names = [name for name in self.names if name not in fixed]
        self.layers = list(dict.fromkeys(map(_layer, self.names)))
        self.layer_lrs = nn.Parameter(torch.full((steps, len(self.layers)), float(lr)))
        self.norms = nn.ParameterDict(  # row k: after inner step k
            {name.replace(".", "/"): p.detach().expand(steps, *p.shape).clone() for name, p in fixed.items()}
        )

    def copy_initial_norms(self) -> None:
        """Set the normalisation parameters after each step to those before the first step."""
        with torch.no_grad():
            for name in self._fixed:
                self.norms[name.replace(".", "/")].copy_(self.net.get_parameter(name))

    def init(self) -> dict[str, Tensor]:
        parameters = dict(self.net.named_parameters())
        return {**super().init(), **{name: parameters[name] for name in self._fixed}}

    def descend(self, state: dict[str, Tensor], gradients: dict[str, Tensor], k: int) -> dict[str, Tensor]:
        k = min(k, self.steps - 1)
        lrs = dict(zip(self.layers, self.layer_lrs[k], strict=True))
        moved = {name: state[name] - lrs[_layer(name)] * gradients[name] for name in self.names}
        fixed = {name: self.norms[name.replace(".", "/")][k].expand_as(state[name]) for name in self._fixed}
        return {**moved, **fixed}

    @property
    def _fixed(self) -> list[str]:
        """The names of the parameters that are not adapted."""
        return [name.replace("/", ".") for name in self.norms]


def _layer(name: str) -> str:
    """The name of the module to which a parameter belongs."""
    return name.rpartition(".")[0]
