"""Ordinary Gymnasium environments to meet: a pendulum of 25 lines, and a point on a line that can be made to fail."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.classic_control.pendulum import PendulumEnv
from gymnasium.spaces import Box


class MassPendulum(PendulumEnv):
    """Gymnasium's pendulum with a mass (kg) that the task is; info has the mass that is simulated."""

    task_space = Box(0.5, 2.0, (1,), np.float64)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self.m = float((options or {"task": [1.0]})["task"][0])
        return super().reset(seed=seed)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = super().step(action)
        return observation, reward, terminated, truncated, {**info, "mass": self.m}


gymnasium.register("me/OwnPendulum-v0", entry_point="own_envs:MassPendulum", max_episode_steps=12)


class Line(gymnasium.Env[Any, Any]):
    """A point on a line, from ±0.05, that an action in [−2, 4] moves by a tenth of it; the task is its goal.

    The reward is minus the distance; the episode is terminated beyond `edge` and truncated after `limit` steps. In its
    third step it does what `fault` says, where the goal is above 0.5.
    """

    observation_space = Box(-np.inf, np.inf, (1,), np.float64)
    action_space = Box(-2.0, 4.0, (1,), np.float32)
    task_space = Box(-1.0, 1.0, (), np.float64)

    def __init__(self, *, fault: str = "", edge: float = np.inf, limit: int = 1000) -> None:
        self.fault, self.edge, self.limit = fault, edge, limit

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        assert options is not None
        self.goal, self.x, self.t = float(options["task"]), self.np_random.uniform(-0.05, 0.05), 0
        return np.array([self.x]), {}

    def step(self, action: Any) -> tuple[Any, Any, Any, bool, dict[str, Any]]:
        self.t += 1
        self.x += 0.1 * float(action[0])
        observation, reward, ended = np.array([self.x]), -abs(self.x - self.goal), bool(abs(self.x) > self.edge)
        result: Any = (observation, reward, ended, self.t >= self.limit, {"near": bool(reward > -0.3), "t": self.t})
        return self.fail(result) if self.t == 3 and self.goal > 0.5 else result

    def fail(self, result: Any) -> Any:
        observation, reward, *rest = result
        match self.fault:
            case "raise":
                raise KeyError("gripper")
            case "nan reward":
                return observation, np.nan, *rest
            case "no reward":
                return observation, None, *rest
            case "two rewards":
                return observation, np.zeros(2), *rest
            case "inf":
                return np.array([np.inf]), reward, *rest
            case "shape":
                return np.zeros(3), reward, *rest
            case "four values":
                return result[:4]
            case "exit":
                os._exit(3)
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "hang":
                time.sleep(600)
        return result
