"""TaskEnv: a World of one sub-environment as a Gymnasium environment."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import gymnasium
import numpy as np
from gymnasium.utils import EzPickle

from metarl.envs.world import World, build, check_shape, numbers
from metarl.ranges import Count, Whole, check, checked


class TaskEnv(gymnasium.Env[np.ndarray, np.ndarray], EzPickle):
    """A single environment that samples a new task at each reset, unless the task is fixed.

    The task is fixed by `task` or `set_task`, or for one episode by `reset(options={"task": …})`. The task is sampled
    first, from a separate random number generator that `np_random` spawns, and then the initial state, from
    `np_random`. Thus, initial states are those of Gymnasium's environments with the same seed. `info` contains "task"
    [task] and, after a step, "diverged", the terms of the reward, and measured quantities (in m and m/s).
    `world` is a World class or a function (num_envs, *, threads) that returns a World; `metarl.envs.tasked.tasked`
    makes such a function of any Gymnasium environment.
    """

    metadata: dict[str, Any] = {"render_modes": ["human", "rgb_array"], "render_fps": 20}  # noqa: RUF012

    @checked
    def __init__(
        self,
        world: type[World] | Callable[..., World],
        task: Any = None,
        *,
        render_mode: str | None = None,
        width: Count = 480,
        height: Count = 480,
    ) -> None:
        """Wrap one sub-environment of `world`; images of the mode "rgb_array" are [height, width, 3] uint8.

        Raises ValueError for a `task` that is not in the task space and for a render mode that the World does not have.
        """
        EzPickle.__init__(self, world, task, render_mode=render_mode, width=width, height=height)
        self.world = build(world, 1, threads=1)
        self.metadata = {"render_modes": list(self.world.render_modes), "render_fps": round(1.0 / self.world.dt)}
        self.render_mode = check_render_mode(self.world.name, render_mode, self.metadata["render_modes"])
        self.observation_space = self.world.observation_space
        self.action_space = self.world.action_space
        self.task_space = self.world.task_space
        self._size = {"width": width, "height": height}
        self._steps: int | None = None  # number of steps of the current episode; None before the first episode
        self._closed = False
        self._fixed = False
        self.set_task(task)

    @property
    def task(self) -> np.ndarray:
        """The current task, [task], or NaN before the first reset if it is not fixed."""
        return deepcopy(self.world.tasks[0])

    def set_task(self, task: Any) -> None:
        """Fix the task, [task], for all further episodes; if it is None, a task is sampled at each reset again."""
        if task is not None:
            self.world.set_tasks([task])
        self._fixed = task is not None
        self._kept = self.task

    @checked
    def sample_tasks(self, n: Whole, rng: np.random.Generator | None = None) -> np.ndarray:
        """Sample n tasks, [n, task], by default with `np_random`."""
        return self.world.sample_tasks(n, self.np_random if rng is None else rng)

    @checked
    def reset(
        self, *, seed: Whole | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode: sample the task and then the state. The option "task" is the task [task] of this episode.

        Returns the observation [obs] and `info`. Raises ValueError for other options.
        """
        check_open(self.world.name, self._closed)
        super().reset(seed=None if seed is None else int(seed))
        task = task_option(self.world.name, options)
        if task is None:
            task = self._kept if self._fixed else self.world.sample_tasks(1, task_stream(self.np_random))[0]
        self.world.set_tasks([task])
        self.world.reset(self.np_random)
        self._steps = 0
        if self.render_mode == "human":
            self.render()
        observations = self.world.observe()
        self.world.check_finite("observation", observations, step=0)
        return observations[0], {"task": self.task}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Take an action. Returns observation [obs], reward, terminated, truncated and `info`.

        Episodes are truncated only by a time limit of the World itself; `gymnasium.make` adds the registered one.
        """
        check_open(self.world.name, self._closed)
        if self._steps is None:
            raise ValueError(f"{self.world.name}: no episode has begun: call reset first")
        action = numbers(f"{self.world.name}: the action's entries", action)
        check_shape(f"{self.world.name}: the action's entries", action, self.world.action_space.shape)
        step = self.world.step(action[None])
        self._steps += 1
        observations = self.world.observe()
        if not step.diverged[0]:
            self.world.check_finite("reward", step.reward, step=self._steps)
            self.world.check_finite("observation", observations, step=self._steps)
        info = {"task": self.task, "diverged": bool(step.diverged[0])}
        info |= {name: float(values[0]) for name, values in step.parts.items()}
        if self.render_mode == "human":
            self.render()
        ended, cut = bool(step.terminated[0]), step.truncated is not None and bool(step.truncated[0])
        return observations[0], float(step.reward[0]), ended and not cut, ended and cut, info

    def render(self) -> np.ndarray | None:
        """An image [height, width, 3] uint8, or None if it is shown on the screen."""
        check_open(self.world.name, self._closed)
        return None if self.render_mode is None else self.world.render(0, self.render_mode, **self._size)

    def close(self) -> None:
        if hasattr(self, "world"):  # not if the constructor raised an error
            self.world.close()
            self._closed = True


def task_stream(rng: np.random.Generator) -> np.random.Generator:
    """A new generator for the task of the next episode, which does not change the random numbers of `rng`."""
    return rng.spawn(1)[0]


def check_open(name: str, closed: bool) -> None:
    """Raise ValueError if an environment has been closed."""
    if closed:
        raise ValueError(f"{name}: the environment has been closed: make a new one")


def check_render_mode(name: str, mode: str | None, modes: list[str]) -> str | None:
    """Return `mode`. Raises ValueError if the environment does not have this render mode."""
    if mode is not None and mode not in modes:
        raise ValueError(f"{name}: render_mode {mode!r} is not available: choose from {modes}")
    return mode


def task_option(name: str, options: dict[str, Any] | None) -> Any:
    """The task in the options of a reset, or None. Raises ValueError for unknown options."""
    check(dict | None, options, f"{name}: options")
    unknown = set(options or {}) - {"task"}
    if unknown:
        raise ValueError(f"{name}: reset does not know the options {sorted(map(str, unknown))}: give only 'task'")
    return (options or {}).get("task")
