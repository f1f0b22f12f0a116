"""A VecEnv of Stable-Baselines3 that wraps a TaskVectorEnv. The import of this module imports Stable-Baselines3."""

from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box
from stable_baselines3.common.vec_env import VecEnv

from metarl.envs.valid_actions import centre_and_half_range
from metarl.envs.vector import TaskVectorEnv
from metarl.envs.world import numbers
from metarl.ranges import Positive, Range, Whole, check, checked

UNBOUNDED = 1e6  # Stable-Baselines3 clips actions to bounds, which must be finite; worlds clip actions themselves


class BaselinesVecEnv(VecEnv):
    """The sub-environments of `env` for Stable-Baselines3; when an episode ends, a new one starts in the same step.

    Observations [N, obs] and rewards [N] are float32. In a Box, actions are multiplied by `action_scale` without
    clipping, and ±1 are mapped to the bounds, as in `WorldDistribution`. The function `inputs` is applied to
    observations. At the end of an episode, infos contain "terminal_observation", "TimeLimit.truncated" and, as in the
    Monitor of Stable-Baselines3, "episode" with the return "r" and the length "l".
    """

    @checked
    def __init__(
        self,
        env: TaskVectorEnv,
        *,
        action_scale: Positive = 1.0,
        inputs: Callable[[np.ndarray], np.ndarray] = np.positive,
    ) -> None:
        self.env, self.action_scale, self.inputs = env, action_scale, inputs
        shown, acted = env.single_observation_space, env.single_action_space
        super().__init__(
            env.num_envs,
            Box(-np.inf, np.inf, shown.shape, np.float32),
            Box(-UNBOUNDED, UNBOUNDED, acted.shape, np.float32) if isinstance(acted, Box) else acted,
        )
        self._actions = np.zeros((env.num_envs, *(acted.shape or ())))
        self._returns, self._lengths = np.zeros(env.num_envs), np.zeros(env.num_envs, int)

    @checked
    def seed(self, seed: Whole | None = None) -> Sequence[int | None]:
        return super().seed(seed)

    def reset(self) -> np.ndarray:
        seeds = None if all(seed is None for seed in self._seeds) else self._seeds
        observations, _ = self.env.reset(seed=seeds)
        self._reset_seeds()
        self._returns[:], self._lengths[:] = 0, 0
        return self.inputs(observations.astype(np.float32))

    def step_async(self, actions: np.ndarray) -> None:
        space, self._actions = self.env.single_action_space, numbers("actions", actions)
        if isinstance(space, Box):
            middle, half = centre_and_half_range(space)
            self._actions = middle + half * (self.action_scale * self._actions)

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        observations, rewards, terminated, truncated, _ = self.env.step(self._actions)
        dones = terminated | truncated
        self._returns += rewards
        self._lengths += 1
        shown = self.inputs(observations.astype(np.float32))
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        if dones.any():
            for i in np.flatnonzero(dones):
                infos[i] = {
                    "terminal_observation": shown[i].copy(),
                    "TimeLimit.truncated": bool(truncated[i] and not terminated[i]),
                    "episode": {"r": float(self._returns[i]), "l": int(self._lengths[i])},
                }
            observations, _ = self.env.reset(options={"reset_mask": dones})
            shown = self.inputs(observations.astype(np.float32))
            self._returns[dones], self._lengths[dones] = 0, 0
        return shown, rewards.astype(np.float32), dones, infos

    def close(self) -> None:
        self.env.close()

    def set_options(self, options: Any = None) -> None:
        raise ValueError("options are not supported: fix tasks by set_tasks of the TaskVectorEnv")

    def get_attr(self, attr_name: str, indices: int | Iterable[int] | None = None) -> list[Any]:
        return [getattr(self.env, attr_name)] * self._count(indices)

    def set_attr(self, attr_name: str, value: Any, indices: int | Iterable[int] | None = None) -> None:
        raise AttributeError(
            f"{attr_name} cannot be set through Stable-Baselines3: set it on {type(self.env).__name__}"
        )

    def env_method(
        self, method_name: str, *args: Any, indices: int | Iterable[int] | None = None, **kwargs: Any
    ) -> list[Any]:
        raise AttributeError(
            f"{method_name} cannot be called on one sub-environment: call it on {type(self.env).__name__}, for all"
        )

    def env_is_wrapped(
        self, wrapper_class: type[gymnasium.Wrapper], indices: int | Iterable[int] | None = None
    ) -> list[bool]:
        return [False] * self._count(indices)

    def get_images(self) -> Sequence[np.ndarray | None]:
        return self.env.render() or [None] * self.num_envs

    def _count(self, indices: int | Iterable[int] | None) -> int:
        chosen = list(self._get_indices(indices))
        check(Sequence[Annotated[int, Range(0, self.num_envs - 1)]], chosen, "indices")
        return len(chosen)
