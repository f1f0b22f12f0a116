"""Any Gymnasium environment as a kind of World: how it is made, how its task is set, and where its tasks come from."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Space

from metarl.envs.flatten import flattener
from metarl.envs.goals import task_in_words
from metarl.envs.many import ManyEnvs
from metarl.ranges import shown

METHODS = ("set_task", "reset_task")  # of an environment: Meta-World and garage have the first, others the second

Draw = Callable[[int, np.random.Generator], Sequence[Any]]


@dataclass(frozen=True)
class Tasked:
    """What makes Worlds of an ordinary environment: `tasked(…)(num_envs)` is a `ManyEnvs`. It can be pickled."""

    make: Callable[[], gymnasium.Env[Any, Any]]
    name: str
    limit: int | None  # steps after which an episode is truncated, beside what `make` does about it
    set_task: Callable[[Any, Any], Any] | None  # (environment, task); None: reset(options={"task": task}) does it
    draw: Draw | str | None  # what draws tasks, or the name of the environment's own method; None: `space` does
    space: Space[Any] | None  # of tasks, where one is known
    info: tuple[str, ...]  # what is reported of a step's info

    def __call__(self, num_envs: int, *, threads: int = 0) -> ManyEnvs:
        return ManyEnvs(self, num_envs)

    def new(self) -> gymnasium.Env[Any, Any]:
        """One environment; ValueError for what is none of Gymnasium's."""
        try:
            env = self.make()
        except Exception as error:
            reason = str(error).splitlines()[0] if str(error) else ""
            raise ValueError(f"{self.name} cannot be made: {type(error).__name__}: {reason}") from error
        if not isinstance(env, gymnasium.Env):
            old = any(kind.__module__.partition(".")[0] == "gym" for kind in type(env).__mro__)
            remedy = (
                "port it from gym to gymnasium (reset returns two values, step five), or wrap it by shimmy's GymV21"
                if old else "give a gymnasium.Env, its id, or a function without arguments that makes one"
            )  # fmt: skip
            raise ValueError(f"{self.name} makes {shown(env)}, which is no gymnasium.Env: {remedy}")
        return env

    def begin(self, env: gymnasium.Env[Any, Any], task: Any, seed: int, options: dict[str, Any]) -> tuple[Any, Any]:
        """Set the task of `env`, then reset it; `options` is filled with the task where that sets it."""
        if self.set_task is None:
            options["task"] = task
            return env.reset(seed=seed, options=options)
        self.set_task(env, task)
        return env.reset(seed=seed)

    def sample(self, env: gymnasium.Env[Any, Any], n: int, rng: np.random.Generator) -> list[Any]:
        """n tasks drawn with rng; `env` is asked where it draws its own."""
        if self.draw is None:
            assert self.space is not None
            space = deepcopy(self.space)
            space.seed(int(rng.integers(2**31)))
            return [space.sample() for _ in range(n)]
        drawn = self.draw(n, rng) if callable(self.draw) else _by_method(env, self.draw, n, rng)
        try:
            drawn = list(drawn)
        except TypeError:
            drawn = [drawn] * (n + 1)
        if len(drawn) != n:
            raise ValueError(f"{self.name}: sample_tasks gave no {n} tasks: let it return as many as it is asked for")
        return drawn

    def as_task(self, task: Any) -> Any:
        """`task`, where it is in the task space; ValueError for one that is not."""
        if self.space is None:
            return task
        if isinstance(self.space, Box):
            try:
                values = np.asarray(task, self.space.dtype)
            except (TypeError, ValueError):
                values = np.asarray(None)
            inside = values.shape == self.space.shape and self.space.contains(values)
        else:
            values, inside = task, self.space.contains(task)
        if not inside:
            raise ValueError(f"{self.name}: the task {task_in_words(task)} is not in the task space, {self.space}")
        return values


def tasked(
    env: str | Callable[[], Any],
    *,
    task_space: Space[Any] | None = None,
    sample_tasks: Draw | None = None,
    set_task: Callable[[Any, Any], Any] | None = None,
    info: Sequence[str] = (),
) -> Tasked:
    """How `env`, a registered id or what makes an environment, is used; one is made, reset and stepped to find out.

    What is not given is looked for in the environment: its `set_task` or `reset_task`, else `reset` must read
    options["task"]; its `sample_tasks(n, rng)` or `sample_tasks(n)`, else its `task_space`.
    """
    make: Callable[[], Any] = env  # type: ignore[assignment]
    if isinstance(env, str):
        spec = gymnasium.spec(env)  # made without the wrappers whose work is done here: each costs time in every step
        bare = replace(spec, max_episode_steps=None, order_enforce=False, disable_env_checker=True)
        make, name, limit = partial(gymnasium.make, bare), env, spec.max_episode_steps
    else:
        name, limit = getattr(env.func if isinstance(env, partial) else env, "__name__", None) or shown(env), None
    kind = Tasked(make, name, limit, set_task, None, None, tuple(info))
    first = kind.new()
    flattener(first.observation_space)
    by_method = next((name for name in METHODS if first.has_wrapper_attr(name)), None)
    if set_task is None and by_method is not None:
        set_task = partial(call, by_method)
    draw: Draw | str | None = sample_tasks
    if draw is None and task_space is None and first.has_wrapper_attr("sample_tasks"):
        draw = "sample_tasks"
    if task_space is None and first.has_wrapper_attr("task_space"):
        task_space = first.get_wrapper_attr("task_space")
    if draw is None and task_space is None:
        raise ValueError(
            f"{kind.name} has no tasks of its own: give it `sample_tasks(n, rng)` or `task_space`, or give them as "
            "arguments"
        )
    name = kind.name if isinstance(env, str) else type(first.unwrapped).__name__
    kind = replace(kind, name=name, set_task=set_task, draw=draw, space=task_space)
    _try(kind, first)
    return kind


def call(method: str, env: gymnasium.Env[Any, Any], task: Any) -> None:
    """Set the task of `env` by its own `method`, wherever its wrappers have it."""
    env.get_wrapper_attr(method)(task)


class _Watched(dict[str, Any]):
    """Options of a reset that know whether anybody looked for the task among them."""

    read = False

    def _look(self, key: Any = "task") -> None:
        self.read |= key == "task"

    def __getitem__(self, key: str) -> Any:
        self._look(key)
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self._look(key)
        return super().get(key, default)

    def pop(self, key: str, *default: Any) -> Any:
        self._look(key)
        return super().pop(key, *default)

    def __iter__(self) -> Any:
        self._look()
        return super().__iter__()

    def items(self) -> Any:
        self._look()
        return super().items()


def _try(kind: Tasked, env: gymnasium.Env[Any, Any]) -> None:
    """Draw a task, begin an episode in it and take a step. Raises ValueError, with the remedy, for what goes wrong."""
    one, again = (kind.sample(env, 3, np.random.default_rng(0)) for _ in range(2))
    if pickle.dumps(one) != pickle.dumps(again):
        raise ValueError(
            f"{kind.name}: sample_tasks draws other tasks from the same random numbers: let it take them from the "
            "generator it is given, sample_tasks(n, rng), or from the environment's np_random"
        )
    options = _Watched()
    world = ManyEnvs(kind, 1, env)
    world.set_tasks(one[:1])
    world.place(None, np.zeros(1, int), options=options)
    if kind.set_task is None and not options.read:
        raise ValueError(
            f"{kind.name} has no way to set a task: its reset does not read options['task'], and it has no method "
            "set_task: add one of the two, or give the argument set_task, a function (environment, task)"
        )
    actions = deepcopy(world.action_space)
    actions.seed(0)
    world.step(np.asarray(actions.sample())[None])


def _by_method(env: gymnasium.Env[Any, Any], name: str, n: int, rng: np.random.Generator) -> Any:
    method = env.get_wrapper_attr(name)
    parameters = inspect.signature(method).parameters.values()
    if sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters) > 1:
        return method(n, rng)
    env.unwrapped.np_random = np.random.default_rng(rng.integers(2**63))
    return method(n)
