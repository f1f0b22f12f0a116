"""An adapted policy as a plain net: for torch.export, TorchScript and ONNX, on machines without this package."""

from __future__ import annotations

import numpy as np
import torch
from gymnasium.spaces import Box, Space
from torch import Tensor, nn

from metarl.ranges import Positive, checked
from metarl.rl.actions import middle_and_half
from metarl.rl.distributions import as_distribution


class DeployedPolicy(nn.Module):
    """The most probable actions of `net`, a policy with adapted parameters, as the environment takes them.

    Float32 observations [n, obs] to actions [n, …] in `action_space`: in a Box `action_scale` times the mode, of which
    ±1 are the bounds, and cut there; elsewhere whole numbers, counted from the space's start. Nothing in it is random
    or trained.
    """

    start: Tensor
    low: Tensor
    high: Tensor
    middle: Tensor
    reach: Tensor

    @checked
    def __init__(self, net: nn.Module, action_space: Space, *, action_scale: Positive = 1.0) -> None:
        super().__init__()
        self.net, self.scale, self.box = net, action_scale, isinstance(action_space, Box)
        self.shape, self.dtype = action_space.shape or (), torch.from_numpy(np.zeros(0, action_space.dtype)).dtype
        if isinstance(action_space, Box):
            bounds = action_space.low.copy(), action_space.high.copy(), *middle_and_half(action_space)
            for name, values in zip(("low", "high", "middle", "reach"), bounds, strict=True):
                self.register_buffer(name, torch.from_numpy(values))
        else:
            self.register_buffer("start", torch.as_tensor(getattr(action_space, "start", 0)))
        self.eval()

    def forward(self, observations: Tensor) -> Tensor:
        action = as_distribution(self.net(observations)).mode().reshape(-1, *self.shape)
        if self.box:
            return (self.middle + self.reach * (self.scale * action)).to(self.dtype).clamp(self.low, self.high)
        return (action.to(torch.int64) + self.start).to(self.dtype)
