"""Worlds of any Gymnasium environment: how it is created, how its task is set, and how tasks are sampled."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Space

from metarl.envs.flatten import flattener
from metarl.envs.goals import task_in_words
from metarl.envs.many import ManyEnvs
from metarl.ranges import shown

METHODS = ("set_task", "reset_task")  # names of an environment's method; set_task is used by Meta-World and garage

Draw = Callable[[int, np.random.Generator], Sequence[Any]]


@dataclass(frozen=True)
class Tasked:
    """A function that creates Worlds of a Gymnasium environment: `tasked(…)(num_envs)` is a `ManyEnvs`.

    It can be pickled. Two objects are equal if they are for the same environment with the same observations.
    """

    make: Callable[..., gymnasium.Env[Any, Any]] = field(compare=False)
    name: str
    limit: int | None  # time limit in steps, if `make` does not implement it
    set_task: Callable[[Any, Any], Any] | None = field(compare=False)  # None: tasks are set by an option of reset
    draw: Draw | str | None  # a function that samples tasks, or the name of the environment's method; None: `space`
    space: Space[Any] | None  # the task space, if it is known
    info: tuple[str, ...] = field(compare=False)  # the keys of a step's info that are reported
    world: type[ManyEnvs] = ManyEnvs
    render_mode: str | None = field(default=None, compare=False)

    def __call__(self, num_envs: int, *, threads: int = 0) -> ManyEnvs:
        return self.world(self, num_envs)

    def rendered(self) -> Tasked:
        """A copy of this object whose environments render images, in the mode "rgb_array".

        Raises ValueError if the environment does not have this render mode.
        """
        drawing = replace(self, render_mode="rgb_array")
        env = self.new()
        modes = env.metadata.get("render_modes") or []
        env.close()
        if "rgb_array" not in modes:
            raise ValueError(f"{self.name} cannot be rendered: metadata['render_modes'], {modes}, lacks 'rgb_array'")
        drawing.new().close()
        return drawing

    def new(self) -> gymnasium.Env[Any, Any]:
        """A new environment. Raises ValueError for an object that is not a gymnasium.Env."""
        try:
            env = self.make() if self.render_mode is None else self.make(render_mode=self.render_mode)
        except Exception as error:
            reason = str(error).splitlines()[0] if str(error) else ""
            raise ValueError(f"{self.name} cannot be made: {type(error).__name__}: {reason}") from error
        if not isinstance(env, gymnasium.Env):
            old = any(kind.__module__.partition(".")[0] == "gym" for kind in type(env).__mro__)
            remedy = (
                "port it from gym to gymnasium (reset returns two values and step five), or wrap it in shimmy's GymV21"
                if old else "give a gymnasium.Env, its id, or a function without arguments that makes one"
            )  # fmt: skip
            raise ValueError(f"{self.name} makes {shown(env)}, which is not a gymnasium.Env: {remedy}")
        return env

    def begin(self, env: gymnasium.Env[Any, Any], task: Any, seed: int, options: dict[str, Any]) -> tuple[Any, Any]:
        """Set the task of `env` and reset it. If the task is set by an option of `reset`, it is added to `options`."""
        if self.set_task is None:
            options["task"] = task
            return env.reset(seed=seed, options=options)
        self.set_task(env, task)
        return env.reset(seed=seed)

    def sample(self, env: gymnasium.Env[Any, Any], n: int, rng: np.random.Generator) -> list[Any]:
        """Sample n tasks; `env` is used if tasks are sampled by its own method."""
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
            raise ValueError(f"{self.name}: sample_tasks did not return {n} tasks: let it return n tasks for n")
        return drawn

    def as_task(self, task: Any) -> Any:
        """Return `task`. Raises ValueError if it is not in the task space."""
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
    """Create a `Tasked` for `env`, a registered id or a function that returns an environment.

    Arguments that are not given are taken from the environment. Tasks are set by its method `set_task` or `reset_task`,
    or by `reset`, which must then read options["task"]. They are sampled by its method `sample_tasks(n, rng)` or
    `sample_tasks(n)`, or from its `task_space`. To check this, one environment is created, reset and stepped.
    """
    make: Callable[[], Any] = env  # type: ignore[assignment]
    if isinstance(env, str):
        spec = gymnasium.spec(env)  # without wrappers that repeat checks of ManyEnvs, as each slows down steps
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
            f"{kind.name} defines no tasks: add `sample_tasks(n, rng)` or `task_space`, or give one as an argument"
        )
    name = kind.name if isinstance(env, str) else type(first.unwrapped).__name__
    kind = replace(kind, name=name, set_task=set_task, draw=draw, space=task_space)
    _try(kind, first)
    return kind


def call(method: str, env: gymnasium.Env[Any, Any], task: Any) -> None:
    """Set the task of `env` by its `method`, which may be that of a wrapper or of a wrapped environment."""
    env.get_wrapper_attr(method)(task)


class _Watched(dict[str, Any]):
    """The options of a reset, which record whether the environment reads the task."""

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
    """Sample a task, start an episode and take a step. Raises ValueError if one of these fails."""
    one, again = (kind.sample(env, 3, np.random.default_rng(0)) for _ in range(2))
    if pickle.dumps(one) != pickle.dumps(again):
        raise ValueError(
            f"{kind.name}: sample_tasks returns different tasks for the same random numbers: let it use the generator "
            "that it receives, sample_tasks(n, rng), or the environment's np_random"
        )
    options = _Watched()
    world = ManyEnvs(kind, 1, env)
    world.set_tasks(one[:1])
    world.place(None, np.zeros(1, int), options=options)
    if kind.set_task is None and not options.read:
        raise ValueError(
            f"{kind.name} has no way to set a task: its reset does not read options['task'], and it has no method "
            "set_task: add one of them, or give the argument set_task, a function (environment, task)"
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
