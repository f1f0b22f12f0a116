"""The ways to specify an environment: an id, with or without its module, a class, or a function."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any

import gymnasium
from gymnasium.spaces import Space

from metarl.envs import WORLDS, world_class
from metarl.envs.tasked import Draw, Tasked, tasked
from metarl.envs.world import World, check_world
from metarl.ranges import shown


def kind_of(
    env: str | Callable[..., Any],
    *,
    task_space: Space[Any] | None = None,
    sample_tasks: Draw | None = None,
    set_task: Callable[[Any, Any], Any] | None = None,
    info: Sequence[str] = (),
) -> Callable[..., World]:
    """A function (num_envs, *, threads) that creates Worlds of the environment `env`.

    `env` is an id such as "me/MyTask-v0" or, for an environment that a module registers, "my_module:me/MyTask-v0" (the
    module may be in the current folder); a World class or a function (num_envs, *, threads) that returns a World; or a
    gymnasium.Env class or a function without arguments that returns an environment. The other arguments are those of
    `tasked`.
    """
    world = _world(env)
    given = {"task_space": task_space, "sample_tasks": sample_tasks, "set_task": set_task}
    if world is None:
        return tasked(_without_module(env) if isinstance(env, str) else env, **given, info=info)  # type: ignore[arg-type]
    if unused := [name for name, value in given.items() if value is not None]:
        raise ValueError(
            f"{unused[0]} is given, but {shown(env)} is a World, which has its own tasks: leave {unused[0]} out"
        )
    return replace(world, info=tuple(info)) if isinstance(world, Tasked) else world


def _world(env: str | Callable[..., Any]) -> Callable[..., World] | None:
    """`env` as a function that creates Worlds, or None for an environment written for Gymnasium."""
    if isinstance(env, str):
        module, _, _ = env.rpartition(":")
        if module:
            import_here(module)
        id = _without_module(env)
        if id in WORLDS or id not in gymnasium.registry:
            return world_class(id)  # raises ValueError, with similar ids, for an unknown one
        return None
    if isinstance(env, type):
        return None if issubclass(env, gymnasium.Env) else check_world(env)
    try:
        inspect.signature(env).bind(1, threads=1)
    except (TypeError, ValueError):
        return None
    return env


def import_here(module: str) -> ModuleType:
    """Import `module`, which may be in the current folder. Raises ValueError if the import fails."""
    here = os.getcwd()
    try:
        if here not in sys.path:
            sys.path.append(here)
        return importlib.import_module(module)
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0]
        lost = isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}.")
        remedy = "start in its folder, or add that to PYTHONPATH" if lost else "correct this error first"
        raise ValueError(
            f"the module {module} cannot be imported ({type(error).__name__}: {reason}): {remedy}"
        ) from error


def _without_module(env: str) -> str:
    return env.rpartition(":")[2]
