"""Vector environments of other libraries, which step many half-cheetahs or ants with policies in the loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_all_start_methods
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv

from metarl.envs.physics import quiet
from metarl.experiments.benchmark.measure import installed

Act = Callable[[np.ndarray], np.ndarray]  # a policy: observations [N, obs] to actions [N, act]
Run = Callable[[Act, int], object]  # a function that takes a number of steps with the actions of a policy
PHYSICS = {"HalfCheetah": "HalfCheetah-v5", "Ant": "Ant-v5"}  # Gymnasium's environments with the same physics as ours
SIZES = {
    "SyncVectorEnv": (20, 40, 400),
    "AsyncVectorEnv": (20, 40),
    "SubprocVecEnv": (20, 40),
    "EnvPool": (40, 400, 800),
}


def peers(env: str) -> list[str]:
    """The vector environments that can be compared with `env`; none has the physics of the MAML paper."""
    if "MAML2017" in env or physics(env) is None:
        return []
    return [name for name in SIZES if name != "EnvPool" or installed("envpool")]


def physics(env: str) -> str | None:
    """Gymnasium's id of the environment with the same physics as `env`, or None."""
    return next((theirs for ours, theirs in PHYSICS.items() if env.startswith(f"metarl/{ours}")), None)


@contextmanager
def peer(name: str, env: str, size: int, *, threads: int) -> Iterator[Run]:
    """A function that steps `size` environments; they and their processes are closed at the end of the context."""
    theirs = physics(env)
    assert theirs is not None
    ant = {"include_cfrc_ext_in_observation": False, "terminate_when_unhealthy": False}  # 27 observations, as in ours
    make = partial(gymnasium.make, theirs, **(ant if theirs.startswith("Ant") else {}))
    with quiet():  # without output, also in the processes that are forked here
        run, close = MAKERS[name](make, theirs, size, threads)
    try:
        yield run
    finally:
        close()


def _gymnasium(kind: Any, make: Callable[[], gymnasium.Env[Any, Any]], _: str, size: int, __: int) -> Any:
    envs = kind([make] * size)
    return _loop(envs.reset(seed=0)[0], lambda actions: envs.step(actions)[0]), envs.close


def _stable_baselines3(make: Callable[[], gymnasium.Env[Any, Any]], _: str, size: int, __: int) -> Any:
    from stable_baselines3.common.vec_env import SubprocVecEnv

    start = "fork" if "fork" in get_all_start_methods() else None  # other methods import torch in every process
    envs: Any = SubprocVecEnv([make] * size, start_method=start)
    return _loop(envs.reset(), lambda actions: envs.step(actions)[0]), envs.close


def _envpool(_: Any, theirs: str, size: int, threads: int) -> Any:
    import envpool

    extra = {"use_contact_force": False, "terminate_when_unhealthy": False} if theirs.startswith("Ant") else {}
    envs = envpool.make_gymnasium(theirs, num_envs=size, num_threads=threads, **extra)
    return _loop(envs.reset()[0], lambda actions: envs.step(actions)[0]), envs.close


MAKERS: dict[str, Callable[..., Any]] = {
    "SyncVectorEnv": partial(_gymnasium, SyncVectorEnv),
    "AsyncVectorEnv": partial(_gymnasium, AsyncVectorEnv),
    "SubprocVecEnv": _stable_baselines3,
    "EnvPool": _envpool,
}


def _loop(observations: np.ndarray, step: Callable[[np.ndarray], np.ndarray]) -> Run:
    def run(act: Act, steps: int) -> None:
        nonlocal observations
        for _ in range(steps):
            observations = step(act(observations))

    return run
