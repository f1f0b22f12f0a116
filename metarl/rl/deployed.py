"""An adapted policy as a plain module for torch.export, TorchScript or ONNX, to be used without this package."""

from __future__ import annotations

import numpy as np
import torch
from gymnasium.spaces import Box, Space
from torch import Tensor, nn

from metarl.envs.valid_actions import centre_and_half_range
from metarl.ranges import Positive, checked
from metarl.rl.distributions import as_distribution


class DeployedPolicy(nn.Module):
    """A module that maps float32 observations [n, obs] to the most probable actions [n, …] of the policy `net`.

    The actions are in `action_space`. In a Box, they are the mode of the distribution multiplied by `action_scale`,
    where ±1 are mapped to the bounds and larger values are clipped; in other spaces, they are integers from the
    `start` of the space. The module is deterministic and has no state.
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
            bounds = action_space.low.copy(), action_space.high.copy(), *centre_and_half_range(action_space)
            for name, values in zip(("low", "high", "middle", "reach"), bounds, strict=True):
                self.register_buffer(name, torch.from_numpy(values))
        else:
            self.register_buffer("start", torch.as_tensor(getattr(action_space, "start", 0)))
        self.eval()

    def forward(self, observations: Tensor) -> Tensor:
        """The most probable actions for a batch of observations."""
        action = as_distribution(self.net(observations)).mode().reshape(-1, *self.shape)
        if self.box:
            return (self.middle + self.reach * (self.scale * action)).to(self.dtype).clamp(self.low, self.high)
        return (action.to(torch.int64) + self.start).to(self.dtype)
