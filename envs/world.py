"""World: many copies of one environment, each with its own task, stepped together.

To add an environment, subclass `World`: set goals, observation_space, action_space and dt, and write the four abstract
methods (a MuJoCo model needs less: subclass `metarl.envs.physics.MujocoWorld`). One line then gives it a single and a
vector form and a name for `make_world`: `metarl.envs.register("me/MyTask-v0", MyWorld)`. Without a name,
`TaskEnv(MyWorld)` and `TaskVectorEnv(MyWorld, 16)` do.
"""

import os
from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

import numpy as np
from gymnasium.spaces import Box
from numpy.typing import ArrayLike

from metarl.envs.goals import Goals


class Step(NamedTuple):
    """What one action of every sub-environment brought; arrays are fresh, the caller may keep them."""

    reward: np.ndarray  # [N] float64
    terminated: np.ndarray  # [N] bool; a diverged sub-environment is terminated too
    diverged: np.ndarray  # [N] bool: the simulation became NaN or huge and MuJoCo put it back to its default state
    parts: dict[str, np.ndarray]  # the reward's parts ("reward_…", they sum to it) and measured quantities, each [N]


class World(ABC):
    """num_envs sub-environments of one kind; tasks [N, task] float64 holds what each is asked for now.

    Use: `set_tasks`, `reset` (or `initial` and `place`), then `observe` and `step` in turn. A World keeps no clock and
    starts no episode by itself. Sub-environments are named by `ids`: indices [n], a mask [N] bool, or None for all.
    """

    goals: ClassVar[Goals]
    default_horizon: ClassVar[int] = 200  # actions an episode
    render_modes: ClassVar[tuple[str, ...]] = ()
    parallel: ClassVar[bool] = False  # whether steps leave Python's lock: several worlds on threads are then faster
    observation_space: Box  # of one sub-environment, float64
    action_space: Box  # of one sub-environment, ±1, float32
    dt: float  # seconds an action

    def __init__(self, num_envs: int, *, threads: int = 0) -> None:
        """Make num_envs copies on this many threads (0: all cores the process may use, never more than copies)."""
        if num_envs < 1 or threads < 0:
            raise ValueError(
                f"{self.name}: num_envs must be at least 1 and threads at least 0, not {num_envs}, {threads}"
            )
        self.num_envs = num_envs
        self.threads = min(threads or cores(), num_envs)
        self.tasks = np.full((num_envs, *self.goals.space.shape), np.nan)

    @property
    def name(self) -> str:
        """The environment's name in error messages."""
        return type(self).__name__

    @property
    def task_space(self) -> Box:
        """Space of one task, [task]."""
        return self.goals.space

    @classmethod
    def sample_tasks(cls, n: int, rng: np.random.Generator) -> np.ndarray:
        """n tasks drawn with rng, [n, task]."""
        return cls.goals.sample(n, rng)

    def set_tasks(self, tasks: ArrayLike, ids: Any = None) -> None:
        """Ask the sub-environments ids for tasks [n, task] from now on, or all of them for one task [task].

        Where a task is one number, [n] and a plain number are understood too. Raises ValueError for a wrong shape and
        for a value that is not finite or not in the task space.
        """
        rows = self.tasks[slice(None) if ids is None else ids]
        values = np.asarray(tasks, dtype=np.float64)
        if rows.shape[1] == 1 and values.shape in ((), (len(rows),)):
            values = values.reshape(-1, 1)
        if values.shape not in (rows.shape, (1, rows.shape[1]), rows.shape[1:]):
            wanted = f"{rows.shape}, or {rows.shape[1:]} for one for all"
            raise ValueError(f"{self.name}: tasks have shape {np.shape(tasks)}; give {wanted}")
        values = np.broadcast_to(values, rows.shape)
        wrong = np.flatnonzero(~(self.goals.allows(values) & np.isfinite(values).all(axis=1)))
        if len(wrong):
            raise ValueError(f"{self.name}: task {values[wrong[0]].tolist()} is not allowed; give {self.goals.allowed}")
        self.tasks[slice(None) if ids is None else ids] = values

    def reset(self, rng: np.random.Generator, ids: Any = None) -> None:
        """Put the sub-environments ids at random initial states drawn with rng."""
        n = self.num_envs if ids is None else len(np.arange(self.num_envs)[ids])
        self.place(ids, *self.initial(n, rng))

    def step(self, actions: np.ndarray, alive: np.ndarray | None = None) -> Step:
        """Take actions [N, act]; where alive [N] bool is False nothing moves and every result is 0 or False.

        Actions outside ±1 act as their clipped selves. Raises ValueError for an action that is not finite. A diverged
        sub-environment earns 0 and stays diverged until it is placed anew.
        """
        actions = np.asarray(actions)
        if actions.shape != (self.num_envs, *self.action_space.shape):
            wanted = (self.num_envs, *self.action_space.shape)
            raise ValueError(f"{self.name}: actions have shape {actions.shape}; give {wanted}")
        step = self.advance(self._checked(actions, alive), alive)
        np.logical_or(step.terminated, step.diverged, out=step.terminated)
        silent = step.diverged if alive is None else step.diverged | ~alive
        if silent.any():
            for values in (step.reward, *step.parts.values()):
                values[silent] = 0
        if alive is not None:
            step.terminated[~alive] = step.diverged[~alive] = False
        return step

    def observe(self, out: np.ndarray | None = None) -> np.ndarray:
        """Current observations [N, obs], written into out (float64 or float32) or a new float64 array."""
        if out is None:
            out = np.empty((self.num_envs, *self.observation_space.shape))
        self.write(out)
        return out

    @abstractmethod
    def initial(self, n: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        """n random initial states drawn with rng: arrays whose first axis is n, as `place` takes them."""

    @abstractmethod
    def place(self, ids: Any, *state: np.ndarray) -> None:
        """Put the sub-environments ids into these states, forgetting what they did before."""

    @abstractmethod
    def advance(self, actions: np.ndarray, alive: np.ndarray | None) -> Step:
        """`step` for checked actions; results of sub-environments that are not alive or diverged may be anything."""

    @abstractmethod
    def write(self, out: np.ndarray) -> None:
        """Write the current observations into out [N, obs]."""

    def render(self, index: int, mode: str, *, width: int = 480, height: int = 480) -> np.ndarray | None:
        """Sub-environment index as an image [height, width, 3] uint8, or on the screen for mode "human"."""
        raise NotImplementedError(f"{self.name} cannot be rendered")

    def close(self) -> None:  # noqa: B027  (most worlds hold nothing that needs closing)
        """Close what `render` opened."""

    def _checked(self, actions: np.ndarray, alive: np.ndarray | None) -> np.ndarray:
        """The actions; where not alive and not finite 0, so that nothing spreads."""
        if np.isnan(self.tasks).any():
            raise RuntimeError(f"{self.name}: no task has been set; call set_tasks first")
        finite = np.isfinite(actions)
        if finite.all():
            return actions
        wrong = ~finite.all(axis=1) if alive is None else ~finite.all(axis=1) & alive
        if wrong.any():
            i = int(np.flatnonzero(wrong)[0])
            raise ValueError(
                f"{self.name}: action {actions[i].tolist()} of sub-environment {i} (task {self.tasks[i].tolist()}) is "
                "not finite; look for NaN in the policy that chose it"
            )
        return np.where(finite, actions, 0.0)


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
