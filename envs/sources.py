"""What an environment is named by: an id, with or without its module, a class, or a function that makes one."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import gymnasium
from gymnasium.spaces import Space

from metarl.envs import WORLDS, world_class
from metarl.envs.tasked import Draw, tasked
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
    """What makes Worlds of `env`, called with a number of sub-environments and `threads`.

    `env` is an id such as "me/MyTask-v0", or "my_module:me/MyTask-v0" where a module registers it (looked for in the
    current folder, too); a World class or a function (num_envs, *, threads) that makes one; a gymnasium.Env class or a
    function without arguments that makes one. The other arguments are those of `tasked`.
    """
    world = _world(env)
    given = {"task_space": task_space, "sample_tasks": sample_tasks, "set_task": set_task}
    if world is None:
        return tasked(_without_module(env) if isinstance(env, str) else env, **given, info=info)  # type: ignore[arg-type]
    if unused := [name for name, value in given.items() if value is not None]:
        raise ValueError(
            f"{unused[0]} is for ordinary environments: {shown(env)} is a World, which has tasks of its own"
        )
    return world


def _world(env: str | Callable[..., Any]) -> Callable[..., World] | None:
    """`env` as what makes a World; None for an ordinary environment."""
    if isinstance(env, str):
        module, _, _ = env.rpartition(":")
        if module:
            import_here(module)
        id = _without_module(env)
        if id in WORLDS or id not in gymnasium.registry:
            return world_class(id)  # ValueError, with the nearest ids
        return None
    if isinstance(env, type):
        return None if issubclass(env, gymnasium.Env) else check_world(env)
    try:
        inspect.signature(env).bind(1, threads=1)
    except (TypeError, ValueError):
        return None
    return env


def import_here(module: str) -> ModuleType:
    """Import `module`, which is looked for in the current folder, too; ValueError where that fails."""
    here = os.getcwd()
    try:
        if here not in sys.path:
            sys.path.append(here)
        return importlib.import_module(module)
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0]
        lost = isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}.")
        remedy = "start in the folder that holds it, or add that folder to PYTHONPATH" if lost else "see to that first"
        raise ValueError(
            f"the module {module} cannot be imported ({type(error).__name__}: {reason}): {remedy}"
        ) from error


def _without_module(env: str) -> str:
    return env.rpartition(":")[2]
