"""CAVIA: adaptation of a context vector that is an additional input of the net (Zintgraf et al. 2019)."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad

from metarl.adaptable import check_second_derivatives
from metarl.core import Learner, Loss, Tree
from metarl.described import Described
from metarl.nets.conv4 import Conv4
from metarl.ranges import Count, Positive, Whole, checked


class CAVIA(Learner):
    """Gradient descent on a context vector: φ ← φ − α∇_φ L_support(f_θ(·, φ)), starting from φ = 0.

    All tasks share θ (Zintgraf et al. 2019, algorithm 1). `net` is a function of (x, φ), inputs of one task and a
    vector [context], which is the state; `Concatenated` and `FiLM` make such nets. Meta-gradients are second-order.
    The paper has 1 step and 5 context numbers on sinusoids, 2 steps and 100 numbers on miniImageNet, and α = 1.

    Args:
        context: size of the context vector φ
        steps: number of inner steps
        lr: inner learning rate α
        rematerialise: recompute inner steps in the backward pass: memory grows with √steps, and time by about a third
    """

    start: Tensor

    @checked
    def __init__(
        self,
        net: nn.Module,
        loss: Loss,
        *,
        context: Count,
        steps: Whole = 1,
        lr: Positive = 1.0,
        rematerialise: bool = False,
    ) -> None:
        super().__init__()
        check_second_derivatives(net)
        self.net, self.loss, self.steps, self.lr, self.rematerialise = net, loss, steps, lr, rematerialise
        self.register_buffer("start", torch.zeros(context), persistent=False)

    def init(self) -> Tensor:
        return self.start

    def step(self, state: Tensor, batch: Any, k: int) -> Tensor:
        return state - self.lr * grad(lambda context: self.loss(partial(self.predict, context), batch))(state)

    def predict(self, state: Tensor, x: Tree) -> Tree:
        return self.net(x, state)


class Concatenated(Described, nn.Module):
    """A `net` whose inputs are the concatenation of inputs [..., d] and the context: [..., d + context]."""

    @checked
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        return self.net(torch.cat([x, context.expand(*x.shape[:-1], -1)], -1))


class FiLM(Described, nn.Module):
    """A Conv4 in which one block has feature-wise linear modulation: h becomes γ∘h + β.

    γ and β [filters] are linear functions of the context, initialised so that γ = 1 and β = 0 for the context 0. h is
    the result of the normalisation, before ReLU and pooling. The paper modulates the third of four blocks. Raises
    ValueError for a block that the net does not have.

    Args:
        context: size of the context vector φ
        block: which block is modulated, from 0
    """

    @checked
    def __init__(self, net: Conv4, *, context: Count, block: Whole = 2) -> None:
        super().__init__()
        if block >= len(net.blocks):
            raise ValueError(f"block is {block}: the net has blocks 0 to {len(net.blocks) - 1}")
        self.net, self.norm = net, f"blocks.{block}.norm"
        filters = len(net.get_parameter(f"{self.norm}.weight"))
        self.modulation = nn.Linear(context, 2 * filters)
        with torch.no_grad():
            self.modulation.bias.copy_(torch.cat([torch.ones(filters), torch.zeros(filters)]))

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        scale, shift = self.modulation(context).chunk(2)
        parameters = dict(self.net.named_parameters())
        weight, bias = (parameters[f"{self.norm}.{name}"] for name in ("weight", "bias"))
        modulated = {f"{self.norm}.weight": scale * weight, f"{self.norm}.bias": scale * bias + shift}
        return functional_call(self.net, modulated, (x,))
