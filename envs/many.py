"""ManyEnvs: many instances of an environment written for Gymnasium, as a World."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete, Space, flatdim
from gymnasium.wrappers import TimeLimit
from numpy.typing import ArrayLike

from metarl.envs.flatten import Misfit, flattener
from metarl.envs.goals import task_in_words
from metarl.envs.world import Step, World
from metarl.ranges import shown

if TYPE_CHECKING:
    from metarl.envs.tasked import Tasked


RETURNS = "does not return ({}), as Gymnasium requires"


class ManyEnvs(World):
    """num_envs instances of a Gymnasium environment, each with its own task, stepped one after the other.

    The state of a sub-environment is the seed of its episode: `place` sets the task of each instance and resets it with
    its seed. Thus, an episode depends only on the task, the seed and the actions. Observations are flattened
    (`metarl.envs.flatten`). Actions are in the environment's own space, and clipped to the bounds of a Box. Episodes
    end when they are terminated or truncated. Tasks are an array [N, …] of numbers, or an array [N] of other objects.
    """

    action_space: Space[Any]  # type: ignore[assignment]

    def __init__(self, kind: Tasked, num_envs: int, *envs: gymnasium.Env[Any, Any]) -> None:
        self.kind, self.num_envs, self.threads = kind, num_envs, 1
        self.envs = [*envs, *(kind.new() for _ in range(num_envs - len(envs)))]
        if len({id(env.unwrapped) for env in self.envs}) < num_envs:
            raise ValueError(f"{kind.name} returns the same environment twice: let it create a new one in each call")
        self.tasks: np.ndarray = np.full(num_envs, np.nan)
        self.flatten = flattener(self.envs[0].observation_space)
        actions = self.envs[0].action_space
        self.action_space = actions
        if isinstance(actions, Box):
            if not actions.is_bounded("both") or not np.issubdtype(actions.dtype, np.floating):
                raise ValueError(
                    f"{kind.name}: actions are in {actions}: give a Box of floating-point numbers with finite low and "
                    "high, by gymnasium.wrappers.RescaleAction or in the environment"
                )
        elif not isinstance(actions, Discrete | MultiDiscrete | MultiBinary):
            raise ValueError(
                f"{kind.name}: actions are in {actions}: give a Box, Discrete, MultiDiscrete or MultiBinary"
            )
        size = flatdim(self.envs[0].observation_space)
        self._observations = np.zeros((num_envs, size))  # the current observations
        self._begun = np.full(num_envs, -1)  # the step `at[0]` in which each episode began, or −1 before the first one
        self._steps = [env.step for env in self.envs]
        self.at: Any = [0, 0]  # the step since all episodes began, and the current sub-environment, for error messages
        self.observation_space = Box(-np.inf, np.inf, (size,), np.float64)

    @property
    def dt(self) -> float:  # type: ignore[override]
        """The duration of an action in seconds, which is determined by the environment's render_fps."""
        return 1.0 / self.envs[0].metadata.get("render_fps", 30)

    @property
    def name(self) -> str:
        return self.kind.name

    @property
    def default_horizon(self) -> int:  # type: ignore[override]
        """The environment's time limit. Raises ValueError if there is none."""
        if self.kind.limit is not None:
            return self.kind.limit
        env: Any = self.envs[0]
        while isinstance(env, gymnasium.Wrapper):
            if isinstance(env, TimeLimit):
                return env._max_episode_steps
            env = env.env
        raise ValueError(f"{self.name} has no time limit: give horizon, the maximum number of steps of an episode")

    @property
    def task_space(self) -> Any:
        return self.kind.space

    def sample_tasks(self, n: int, rng: np.random.Generator) -> np.ndarray:  # type: ignore[override]
        """Sample n tasks: an array [n, …] of numbers, or an array [n] of objects."""
        return self.as_tasks(self.kind.sample(self.envs[0], n, rng), n)

    def set_tasks(self, tasks: ArrayLike, ids: Any = None) -> None:
        """Set the tasks of the sub-environments `ids`, a sequence of tasks, which take effect in the next `place`."""
        rows = self.indices(ids)
        new = self.as_tasks(tasks, len(rows))
        if ids is not None:
            every = list(self.tasks)
            for i, task in zip(rows.tolist(), new, strict=True):
                every[i] = task
            new = _stacked(every)
        self.tasks = new

    def as_tasks(self, tasks: Any, n: int) -> np.ndarray:
        """Convert a sequence of n tasks to an array [n, …] of numbers, or to an array [n] of objects."""
        if isinstance(tasks, str | dict) or not hasattr(tasks, "__len__") or len(tasks) != n:
            raise ValueError(f"{self.name}: tasks are {shown(tasks)}: give a sequence of {n} tasks")
        return _stacked([self.kind.as_task(task) for task in tasks])

    def rows(self, tasks: Any) -> np.ndarray:
        return self.as_tasks(tasks, len(tasks) if hasattr(tasks, "__len__") else 1)

    def initial(self, tasks: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray]:
        """Seeds [n] of n episodes."""
        return (rng.integers(2**31, size=len(tasks)),)

    def place(self, ids: Any, *state: np.ndarray, options: dict[str, Any] | None = None) -> None:
        """Start episodes of the instances `ids` with seeds [n]; `options` are passed to `reset`."""
        (seeds,), i, seen = state, 0, []
        rows = self.indices(ids)
        if len(rows) == self.num_envs:
            self.at[0] = 0
        self._begun[rows] = self.at[0]
        try:
            for i, seed in zip(rows.tolist(), seeds.tolist(), strict=True):
                self.at[1] = i
                given = {} if options is None else options
                seen.append(self.kind.begin(self.envs[i], self.tasks[i], seed, given))
        except Exception as error:
            raise self._failed(i, "reset", error) from error
        for i, pair in zip(rows, seen, strict=True):
            if not isinstance(pair, tuple) or len(pair) != 2:
                raise ValueError(f"{self._where(i)}: reset {RETURNS.format('observation, info')}")
        self._set_observations(rows, [observation for observation, _ in seen])

    def advance(self, actions: np.ndarray, alive: np.ndarray | None) -> Step:
        at, n, i, results = self.at, self.num_envs, 0, []
        if self._begun.min() < 0:
            raise ValueError(f"{self.name}: no episode has begun: call set_tasks and reset first")
        moving = self.indices(alive)
        if not len(moving):
            none = np.zeros(n, bool)
            return Step(np.zeros(n), none, none.copy(), {key: np.full(n, np.nan) for key in self.kind.info})
        steps, sent = self._steps, self._sent(actions)
        if alive is not None:
            steps, sent = [steps[i] for i in moving.tolist()], [sent[i] for i in moving.tolist()]
        at[0] += 1
        try:
            for i, step, action in zip(moving.tolist(), steps, sent, strict=True):
                at[1] = i
                results.append(step(action))
            complete = set(map(len, results)) == {5}
        except Exception as error:
            raise self._failed(i, "step", error) from error
        if not complete:
            wanted = "observation, reward, terminated, truncated, info"
            raise ValueError(f"{self._where(i)}: step {RETURNS.format(wanted)}")
        observations, rewards, terminated, truncated, infos = zip(*results, strict=True)
        self._set_observations(moving, observations)
        reward = self._array(moving, "the reward", rewards, "fiub")
        ended = self._array(moving, "terminated", terminated, "b")
        cut = self._array(moving, "truncated", truncated, "b")
        if self.kind.limit is not None:
            cut[moving] |= at[0] - self._begun[moving] >= self.kind.limit
        parts = {key: self._measured(moving, key, infos) for key in self.kind.info}
        return Step(reward, ended | cut, np.zeros(n, bool), parts, cut & ~ended)

    def write(self, out: np.ndarray) -> None:
        out[:] = self._observations

    def check_finite(self, what: str, values: np.ndarray, *, step: int) -> None:
        if not np.isfinite(values).all():
            i, *number = np.argwhere(~np.isfinite(values))[0].tolist()
            which = f"number {number[0]} of the {what}" if number else f"the {what}"
            raise ValueError(f"{self._where(i)}: {which} is {values[i, *number]}: correct the environment")

    @property
    def render_modes(self) -> tuple[str, ...]:  # type: ignore[override]
        """The render modes of the instances: "rgb_array" if `Tasked.rendered` created them, otherwise none."""
        return () if self.kind.render_mode is None else (self.kind.render_mode,)

    def render(self, index: int, mode: str, *, width: int = 480, height: int = 480) -> np.ndarray:
        """An image [height, width, 3] uint8 of instance `index`; its size is determined by the environment."""
        try:
            image: Any = self.envs[index].render()
        except Exception as error:
            raise self._failed(index, "render", error) from error
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"{self.name}: render returns {shown(image)}: return an array [height, width, 3] of uint8")
        return image

    def close(self) -> None:
        for env in self.envs:
            env.close()

    def _check_tasks(self, ids: Any) -> None:
        if self.tasks.dtype.kind == "f" and np.isnan(self.tasks[ids]).any():
            raise ValueError(f"{self.name}: no task has been set: call set_tasks and reset first")

    def _sent(self, actions: np.ndarray) -> list[Any]:
        """The actions that the instances receive, clipped to the bounds of a Box."""
        if isinstance(self.action_space, Box):
            return list(np.clip(actions, self.action_space.low, self.action_space.high))
        return list(actions)

    def _set_observations(self, moving: np.ndarray, observations: Sequence[Any]) -> None:
        """Flatten the current observations of the instances `moving`."""
        try:
            self._observations[moving] = self.flatten(observations)
        except Misfit as error:
            raise ValueError(f"{self._where(moving[error.index])}: the observation is {error}") from None

    def _array(self, moving: np.ndarray, what: str, values: Sequence[Any], kinds: str) -> np.ndarray:
        """An array [N] with the `values` of moving instances, 0 elsewhere. Raises ValueError for other dtype kinds."""
        try:
            array = np.array(values)
        except ValueError:  # of unequal shapes
            array = np.array(None)
        if array.shape != (len(values),) or array.dtype.kind not in kinds:
            wrong = next(i for i, v in enumerate(values) if np.ndim(v) or np.asarray(v).dtype.kind not in kinds)
            wanted = "True or False" if kinds == "b" else "a number"
            raise ValueError(f"{self._where(moving[wrong])}: {what} is {shown(values[wrong])}: give {wanted}")
        found = np.zeros(self.num_envs, bool if kinds == "b" else float)
        found[moving] = array
        return found

    def _measured(self, moving: np.ndarray, key: str, infos: Sequence[Any]) -> np.ndarray:
        """The values of `key` in the infos of a step, [N], with NaN for infos that do not have it."""
        return self._array(moving, f"info[{key!r}]", [(info or {}).get(key, np.nan) for info in infos], "fiub")

    def _where(self, i: int) -> str:
        return f"{self.name}: step {self.at[0] - self._begun[i]} of an episode of task {task_in_words(self.tasks[i])}"

    def _failed(self, i: int, what: str, error: Exception) -> ValueError:
        """A ValueError for the `error` that the method `what` of instance i raised, with its task, step and line."""
        frame = traceback.extract_tb(error.__traceback__)[-1]
        reason = (str(error).splitlines() or [""])[0]
        where = f"{Path(frame.filename).name}, line {frame.lineno}"
        return ValueError(f"{self._where(i)}: {what} raised {type(error).__name__}: {reason} ({where})")


def _stacked(tasks: list[Any]) -> np.ndarray:
    """Tasks as an array [n, …] if they are numbers or arrays of one shape, otherwise as an array [n] of objects."""
    if all(isinstance(task, int | float | np.ndarray | np.generic) for task in tasks):
        try:
            values = np.array(tasks)
        except ValueError:  # arrays of several shapes
            values = np.array(None)
        if values.dtype.kind in "fiub":
            return values
    objects = np.empty(len(tasks), object)
    for i, task in enumerate(tasks):
        objects[i] = task
    return objects
