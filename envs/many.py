"""ManyEnvs: many instances of an ordinary Gymnasium environment as a World."""

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


RETURNS = "does not return ({}), as Gymnasium's environments do"


class ManyEnvs(World):
    """num_envs instances of an ordinary environment, each with its own task, stepped in turn by this process.

    A sub-environment's state is the seed of its episode: `place` sets the task of each instance, then resets it with
    its seed, so that an episode depends on task, seed and actions, and not on what the instance did before.
    Observations are flattened (`metarl.envs.flatten`). Actions are in the environment's own space, and in a Box they
    are cut at its bounds. An episode that is terminated ends, and so does one that is truncated. Tasks are an array
    [N, …] where they are numbers, else an array [N] of objects.
    """

    action_space: Space[Any]  # type: ignore[assignment]

    def __init__(self, kind: Tasked, num_envs: int, *envs: gymnasium.Env[Any, Any]) -> None:
        self.kind, self.num_envs, self.threads = kind, num_envs, 1
        self.envs = [*envs, *(kind.new() for _ in range(num_envs - len(envs)))]
        if len({id(env.unwrapped) for env in self.envs}) < num_envs:
            raise ValueError(f"{kind.name} gives one environment twice: let the function make a new one at every call")
        self.tasks: np.ndarray = np.empty(0)
        self.flatten = flattener(self.envs[0].observation_space)
        actions = self.envs[0].action_space
        self.action_space = actions
        if isinstance(actions, Box):
            if not actions.is_bounded("both") or not np.issubdtype(actions.dtype, np.floating):
                raise ValueError(
                    f"{kind.name}: actions are in {actions}: give a Box of floating-point numbers with a finite low "
                    "and high, by gymnasium.wrappers.RescaleAction or in the environment"
                )
        elif not isinstance(actions, Discrete | MultiDiscrete | MultiBinary):
            raise ValueError(
                f"{kind.name}: actions are in {actions}: give a Box, Discrete, MultiDiscrete or MultiBinary"
            )
        self._rows = np.empty((0, 0))  # what is observed now, [N, obs]; of none before the first episode
        self._steps = [env.step for env in self.envs]
        self.at: Any = [0, 0]  # actions of this episode so far, and the sub-environment that is at work: for messages
        self.observation_space = Box(-np.inf, np.inf, (flatdim(self.envs[0].observation_space),), np.float64)

    @property
    def dt(self) -> float:  # type: ignore[override]
        """Seconds an action, by the frames that the environment draws in a second."""
        return 1.0 / self.envs[0].metadata.get("render_fps", 30)

    @property
    def name(self) -> str:
        return self.kind.name

    @property
    def default_horizon(self) -> int:  # type: ignore[override]
        """The environment's time limit; ValueError where it has none."""
        if self.kind.limit is not None:
            return self.kind.limit
        env: Any = self.envs[0]
        while isinstance(env, gymnasium.Wrapper):
            if isinstance(env, TimeLimit):
                return env._max_episode_steps
            env = env.env
        raise ValueError(f"{self.name} has no time limit: give horizon, the actions of an episode")

    @property
    def task_space(self) -> Any:
        return self.kind.space

    def sample_tasks(self, n: int, rng: np.random.Generator) -> np.ndarray:  # type: ignore[override]
        """n tasks drawn with rng: an array [n, …], or [n] of objects."""
        return self.as_tasks(self.kind.sample(self.envs[0], n, rng), n)

    def set_tasks(self, tasks: ArrayLike, ids: Any = None) -> None:
        """Ask all sub-environments for these tasks, a sequence of num_envs, from the next `place` on."""
        self.tasks = self.as_tasks(tasks, len(self.indices(ids)))

    def as_tasks(self, tasks: Any, n: int) -> np.ndarray:
        """A sequence of n tasks as an array [n, …] where they are numbers, else [n] of objects."""
        if isinstance(tasks, str | dict) or not hasattr(tasks, "__len__") or len(tasks) != n:
            raise ValueError(f"{self.name}: tasks are {shown(tasks)}: give a sequence of {n} tasks")
        rows = [self.kind.as_task(task) for task in tasks]
        if all(isinstance(row, int | float | np.ndarray | np.generic) for row in rows):
            try:
                values = np.array(rows)
            except ValueError:  # arrays of several shapes
                values = np.array(None)
            if values.dtype.kind in "fiub":
                return values
        objects = np.empty(n, object)
        for i, row in enumerate(rows):
            objects[i] = row
        return objects

    def rows(self, tasks: Any) -> np.ndarray:
        return self.as_tasks(tasks, len(tasks) if hasattr(tasks, "__len__") else 1)

    def initial(self, tasks: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray]:
        """Seeds [n] of as many episodes."""
        return (rng.integers(2**31, size=len(tasks)),)

    def place(self, ids: Any, *state: np.ndarray, options: dict[str, Any] | None = None) -> None:
        """Begin an episode in every instance, with seeds [N]; `options` are those of their resets."""
        (seeds,), i, self.at[0] = state, 0, 0
        seen = []
        try:
            for i, (env, task, seed) in enumerate(zip(self.envs, self.tasks, seeds.tolist(), strict=True)):
                self.at[1] = i
                seen.append(self.kind.begin(env, task, seed, {} if options is None else options))
        except Exception as error:
            raise self._failed(i, "reset", error) from error
        if wrong := [i for i, pair in enumerate(seen) if not isinstance(pair, tuple) or len(pair) != 2]:
            raise ValueError(f"{self._where(wrong[0])}: reset {RETURNS.format('observation, info')}")
        self._rows = np.empty((self.num_envs, *self.observation_space.shape))
        self._keep(range(self.num_envs), [observation for observation, _ in seen])

    def advance(self, actions: np.ndarray, alive: np.ndarray | None) -> Step:
        at, n, i, results = self.at, self.num_envs, 0, []
        moving = range(n) if alive is None else np.flatnonzero(alive).tolist()
        sent = self._sent(actions)
        at[0] += 1
        try:
            for i in moving:
                at[1] = i
                results.append(self._steps[i](sent[i]))
            complete = set(map(len, results)) <= {5}
        except Exception as error:
            raise self._failed(i, "step", error) from error
        if not complete:
            wanted = "observation, reward, terminated, truncated, info"
            raise ValueError(f"{self._where(i)}: step {RETURNS.format(wanted)}")
        observations, rewards, terminated, truncated, infos = zip(*results, strict=True)
        self._keep(moving, observations)
        reward = self._array(moving, "the reward", rewards, "fiub")
        ended = self._array(moving, "terminated", terminated, "b") | self._array(moving, "truncated", truncated, "b")
        if at[0] == self.kind.limit:
            ended[moving] = True
        parts = {key: self._measured(moving, key, infos) for key in self.kind.info}
        return Step(reward, ended, np.zeros(n, bool), parts)

    def write(self, out: np.ndarray) -> None:
        out[:] = self._rows

    def check_finite(self, what: str, values: np.ndarray, *, step: int) -> None:
        if not np.isfinite(values).all():
            i, *number = np.argwhere(~np.isfinite(values))[0].tolist()
            which = f"number {number[0]} of the {what}" if number else f"the {what}"
            raise ValueError(f"{self._where(i)}: {which} is {values[i, *number]}: mend the environment")

    def close(self) -> None:
        for env in self.envs:
            env.close()

    def _check_tasks(self, ids: Any) -> None:
        if not len(self._rows):
            raise ValueError(f"{self.name}: no episode has begun: call set_tasks and reset first")

    def _sent(self, actions: np.ndarray) -> list[Any]:
        """What each instance receives for actions [N, …] of `action_space`."""
        if isinstance(self.action_space, Box):
            return list(np.clip(actions, self.action_space.low, self.action_space.high))
        return list(actions)

    def _keep(self, moving: Sequence[int], observations: Sequence[Any]) -> None:
        """Flatten what instances observe now."""
        try:
            self._rows[moving] = self.flatten(observations)
        except Misfit as error:
            raise ValueError(f"{self._where(moving[error.index])}: the observation is {error}") from None

    def _array(self, moving: Sequence[int], what: str, values: Sequence[Any], kinds: str) -> np.ndarray:
        """`values` of the moving instances as [N], 0 elsewhere; ValueError where one is of none of these kinds."""
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

    def _measured(self, moving: Sequence[int], key: str, infos: Sequence[Any]) -> np.ndarray:
        """What the infos of a step have at `key`, [N]; NaN where one has nothing there."""
        return self._array(moving, f"info[{key!r}]", [(info or {}).get(key, np.nan) for info in infos], "fiub")

    def _where(self, i: int) -> str:
        return f"{self.name}: step {self.at[0]} of an episode of task {task_in_words(self.tasks[i])}"

    def _failed(self, i: int, what: str, error: Exception) -> ValueError:
        """What to raise for an `error` of instance i."""
        frame = traceback.extract_tb(error.__traceback__)[-1]
        reason = (str(error).splitlines() or [""])[0]
        where = f"{Path(frame.filename).name}, line {frame.lineno}"
        return ValueError(f"{self._where(i)}: {what} raised {type(error).__name__}: {reason} ({where})")
