"""World: many copies of an environment, each with its own task, which are stepped together.

To add an environment, subclass `World`: define goals, observation_space, action_space and dt, and implement the four
abstract methods (for a MuJoCo model, subclass `metarl.envs.physics.MujocoWorld`, which needs less).
`metarl.envs.register("me/MyTask-v0", MyWorld)` then registers it in Gymnasium and for `make_world`. It can also be used
without an id, as `TaskEnv(MyWorld)` or `TaskVectorEnv(MyWorld, 16)`.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
from gymnasium.spaces import Box
from numpy.typing import ArrayLike

from metarl.envs.goals import Goals, task_in_words
from metarl.envs.valid_actions import valid_actions
from metarl.ranges import Count, Range, Whole, check, checked, shown


class Step(NamedTuple):
    """The results of one action in every sub-environment, in new arrays that the caller may keep."""

    reward: np.ndarray  # [N] float64
    terminated: np.ndarray  # [N] bool, also True for sub-environments that diverged
    diverged: np.ndarray  # [N] bool, whether the state became NaN or huge, so that MuJoCo reset the simulation
    parts: dict[str, np.ndarray]  # terms of the reward ("reward_…"), whose sum it is, and other quantities, each [N]
    truncated: np.ndarray | None = None  # [N] bool, which of `terminated` are due to a time limit; None: none


class World(ABC):
    """num_envs sub-environments of an environment, with their current tasks in `tasks`, [N, task] float64.

    To use it, call `set_tasks`, `reset` (or `initial` and `place`), and then `observe` and `step` alternately. A World
    does not count steps and does not start episodes automatically. In all methods, `ids` are the sub-environments that
    are concerned: indices [n], a mask [N] bool, or None for all.

    Tasks are set before states, so that initial states may depend on tasks: `initial` receives the tasks of the
    episodes whose states it samples, and `place` finds them in `self.tasks`.
    """

    goals: ClassVar[Goals]
    default_horizon: ClassVar[int] = 200  # maximum number of steps of an episode
    render_modes: ClassVar[tuple[str, ...]] = ()
    parallel: ClassVar[bool] = False  # whether steps release Python's global lock, so that worlds can run on threads
    observation_space: Box  # of one sub-environment, float64
    action_space: Box  # of one sub-environment: ±1, float32, or a Discrete, MultiDiscrete or MultiBinary space
    dt: float  # duration of an action in seconds

    @checked
    def __init__(self, num_envs: Count, *, threads: Whole = 0) -> None:
        """Create num_envs copies that use `threads` threads (0: the number of cores; at most num_envs)."""
        self.num_envs = num_envs
        self.threads = min(threads or cores(), num_envs)
        self.tasks = np.full((num_envs, *self.goals.space.shape), np.nan)

    @property
    def name(self) -> str:
        """The name of the environment in error messages."""
        return type(self).__name__

    @property
    def task_space(self) -> Box:
        """The space of one task, [task]."""
        return self.goals.space

    @classmethod
    @checked
    def sample_tasks(cls, n: Whole, rng: np.random.Generator) -> np.ndarray:
        """Sample n tasks, [n, task]."""
        return cls.goals.sample(n, rng)

    def set_tasks(self, tasks: ArrayLike, ids: Any = None) -> None:
        """Set the tasks [n, task] of the sub-environments `ids`, or one task [task] for all of them.

        If a task is one number, [n] or a number can be given too. Raises ValueError for a wrong shape and for values
        that are not finite or not in the task space.
        """
        rows = self.indices(ids)
        self.tasks[rows] = self.as_tasks(tasks, len(rows))

    def as_tasks(self, tasks: ArrayLike, n: int) -> np.ndarray:
        """Convert tasks in one of the forms of `set_tasks` to a new array [n, task]."""
        size = self.tasks.shape[1]
        values = numbers(f"{self.name}: tasks", tasks).astype(np.float64)
        if size == 1 and values.shape in ((), (n,)):
            values = values.reshape(-1, 1)
        if values.shape not in ((n, size), (1, size), (size,)):
            raise ValueError(f"{self.name}: tasks have shape {np.shape(tasks)}: give {(n, size)}, or {(size,)} for all")
        values = np.broadcast_to(values, (n, size))
        wrong = np.flatnonzero(~(self.goals.allows(values) & np.isfinite(values).all(axis=1)))
        if len(wrong):
            first = task_in_words(values[wrong[0]])
            raise ValueError(f"{self.name}: task {first} is not allowed: give {self.goals.allowed}")
        return values.copy()

    def rows(self, tasks: ArrayLike) -> np.ndarray:
        """Convert any number of tasks to an array [n, task]."""
        values = np.atleast_1d(numbers(f"{self.name}: tasks", tasks))
        return self.as_tasks(values, len(values))

    @checked
    def reset(self, rng: np.random.Generator, ids: Any = None) -> None:
        """Put the sub-environments `ids` into random initial states for their tasks."""
        rows = self.indices(ids)
        self._check_tasks(rows)
        self.place(None if ids is None else rows, *self.initial(self.tasks[rows], rng))

    def step(self, actions: np.ndarray, alive: np.ndarray | None = None) -> Step:
        """Take actions [N, act]. Where alive [N] is False, the state does not change, and all results are 0 or False.

        Actions are clipped to ±1. In a Discrete space, they are integers [N], which `advance` receives as int64. Raises
        ValueError for actions that are not finite or not in the space. A sub-environment that diverged has a reward of
        0, and remains diverged until it is reset.
        """
        actions = numbers(f"{self.name}: actions", actions)
        check_shape(f"{self.name}: actions", actions, (self.num_envs, *self.action_space.shape))
        if alive is not None:
            self.check_mask("alive", alive)
        step = self.advance(self._checked(actions, alive), alive)
        self._check_step(step)
        np.logical_or(step.terminated, step.diverged, out=step.terminated)
        silent = step.diverged if alive is None else step.diverged | ~alive
        if silent.any():
            for values in (step.reward, *step.parts.values()):
                values[silent] = 0
        if alive is not None:
            step.terminated[~alive] = step.diverged[~alive] = False
        return step

    def observe(self, out: np.ndarray | None = None) -> np.ndarray:
        """The current observations [N, obs], in `out` (float64 or float32) or in a new float64 array."""
        shape = (self.num_envs, *self.observation_space.shape)
        if out is None:
            out = np.empty(shape)
        elif not isinstance(out, np.ndarray) or out.dtype.kind != "f" or out.shape != shape:
            raise ValueError(f"{self.name}: out is {shown(out)}: give an array of floats of shape {shape}")
        self.write(out)
        return out

    @abstractmethod
    def initial(self, tasks: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        """Sample initial states for the tasks [n, task]: a tuple of arrays [n, …], which `place` receives.

        They may be used in any sub-environment of any World of this class, and must depend only on `tasks` and `rng`,
        not on attributes such as `self.tasks`.
        """

    @abstractmethod
    def place(self, ids: Any, *state: np.ndarray) -> None:
        """Start episodes of the sub-environments `ids` in these states. Their tasks are in `self.tasks`."""

    @abstractmethod
    def advance(self, actions: np.ndarray, alive: np.ndarray | None) -> Step:
        """Implements `step` for valid actions. The results of sub-environments that diverged or ended do not matter."""

    @abstractmethod
    def write(self, out: np.ndarray) -> None:
        """Write the current observations into `out`, [N, obs]."""

    def render(self, index: int, mode: str, *, width: int = 480, height: int = 480) -> np.ndarray | None:
        """An image [height, width, 3] uint8 of sub-environment `index`, or None in the mode "human", which shows it."""
        raise ValueError(f"{self.name} cannot be rendered: its class has no method render")

    def close(self) -> None:  # noqa: B027  (most worlds have nothing to close)
        """Close windows and other resources of `render`."""

    def indices(self, ids: Any) -> np.ndarray:
        """The indices [n] of the sub-environments `ids`. Raises ValueError for invalid ids."""
        every = np.arange(self.num_envs)
        if ids is None:
            return every
        chosen = np.asarray(ids)
        try:
            return every[chosen if chosen.size else chosen.astype(int)].reshape(-1)
        except IndexError:
            wanted = f"indices from 0 to {self.num_envs - 1}, or a mask of {self.num_envs} True or False"
            raise ValueError(f"{self.name}: ids are {shown(ids)}: give {wanted}") from None

    def check_finite(self, what: str, values: np.ndarray, *, step: int) -> None:
        """Raise ValueError, with the World and the task, if `values` [N, …] after `step` actions are not finite.

        It finds errors of a World; sub-environments whose simulation fails should report that they diverged.
        """
        if np.isfinite(values).all():
            return
        i, *number = np.argwhere(~np.isfinite(values))[0].tolist()
        which = f"number {number[0]} of the {what}" if number else f"the {what}"
        raise ValueError(
            f"{self.name}: {which} of sub-environment {i} (task {task_in_words(self.tasks[i])}) after {step} steps is "
            f"{values[i, *number]}: correct the World, or let `advance` report that it diverged"
        )

    def check_state(self, ids: Any, state: tuple[Any, ...], **held: np.ndarray) -> Any:
        """The rows for `ids` of the arrays [N, …] in `held`. Raises ValueError if `state` does not fit into them."""
        if len(state) != len(held):
            raise ValueError(f"{self.name}: a state is {', '.join(held)}, but {len(state)} arrays are given")
        rows = slice(None) if ids is None else self.indices(ids)
        for (what, old), values in zip(held.items(), state, strict=True):
            new = numbers(f"{self.name}: {what}", values)
            check_shape(f"{self.name}: {what}", new, old[rows].shape)
            if not np.isfinite(new).all():
                raise ValueError(f"{self.name}: {what} has {new[~np.isfinite(new)][0]}: correct the World's `initial`")
        return rows

    def check_drawing(self, index: int, mode: str, width: int, height: int) -> None:
        """Raise ValueError for invalid arguments of `render`."""
        check(Annotated[int, Range(0, self.num_envs - 1)], index, f"{self.name}: index")
        check(Literal[self.render_modes], mode, f"{self.name}: mode")
        for what, size in (("width", width), ("height", height)):
            check(Count, size, f"{self.name}: {what}")

    def check_mask(self, what: str, mask: Any) -> None:
        """Raise ValueError unless `mask`, called `what` in the message, is an array [N] bool."""
        if not isinstance(mask, np.ndarray) or mask.dtype != bool or mask.shape != (self.num_envs,):
            raise ValueError(f"{self.name}: {what} is {shown(mask)}: give a bool array [{self.num_envs}]")

    def _check_step(self, step: Any) -> None:
        if not isinstance(step, Step):
            raise ValueError(f"{self.name}: `advance` returns {shown(step)}: return a Step")
        ends = (step.terminated, step.diverged, *(() if step.truncated is None else (step.truncated,)))
        for name, values in zip(("reward", "terminated", "diverged", "truncated"), (step.reward, *ends), strict=False):
            kind = "numbers" if name == "reward" else "True or False"
            if np.shape(values) != (self.num_envs,) or (values.dtype == bool) == (name == "reward"):
                wanted = f"return an array of {self.num_envs} {kind}"
                raise ValueError(f"{self.name}: {name} of `advance`'s Step is {shown(values)}: {wanted}")

    def _check_tasks(self, ids: np.ndarray | slice) -> None:
        if np.isnan(self.tasks[ids]).any():
            raise ValueError(f"{self.name}: no task has been set: call set_tasks first")

    def _checked(self, actions: np.ndarray, alive: np.ndarray | None) -> np.ndarray:
        """The actions for `advance`. Raises ValueError for actions that are not valid."""
        self._check_tasks(slice(None))
        taken, wrong = valid_actions(self.action_space, actions, alive)
        if wrong.any():
            i = int(wrong.argmax())
            number = "not finite: look for NaN in the policy that chose it"
            fault = number if isinstance(self.action_space, Box) else f"no choice in {self.action_space}"
            who = f"sub-environment {i} (task {task_in_words(self.tasks[i])})"
            raise ValueError(f"{self.name}: action {actions[i].tolist()} of {who} is {fault}")
        return taken


def numbers(what: str, values: ArrayLike) -> np.ndarray:
    """Convert `values` to an array of real numbers. Raises ValueError, which mentions `what`, for other values."""
    try:
        array = np.asarray(values)
    except (ValueError, TypeError, RuntimeError):  # rows of unequal length, a tensor with a gradient
        raise ValueError(f"{what} are {shown(values)}: give an array of numbers, all rows of one length") from None
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{what} are {shown(values)}: give numbers")
    return array


def check_shape(what: str, values: Any, shape: tuple[int, ...]) -> None:
    """Raise ValueError, which mentions `what`, unless the array `values` has this shape."""
    if np.shape(values) != shape:
        raise ValueError(f"{what} have shape {np.shape(values)}: give {shape}")


def check_world(world: Any) -> type["World"]:
    """Return `world`. Raises ValueError unless it is a complete subclass of World."""
    if not isinstance(world, type) or not issubclass(world, World):
        raise ValueError(f"world is {shown(world)}: give a subclass of metarl.envs.World")
    missing = [*sorted(world.__abstractmethods__), *(() if hasattr(world, "goals") else ("goals",))]
    if missing:
        raise ValueError(f"{world.__name__} has no {', '.join(missing)}: define all that metarl.envs.World requires")
    return world


def build(world: Callable[..., "World"], num_envs: int, *, threads: int = 0) -> "World":
    """Create a World with num_envs sub-environments. Raises ValueError unless `world` is a class or function for it."""
    if isinstance(world, type) or not callable(world):
        check_world(world)
    made = world(num_envs, threads=threads)
    if not isinstance(made, World):
        raise ValueError(f"world returns {shown(made)}: give a subclass of metarl.envs.World, or a function for one")
    missing = [name for name in ("observation_space", "action_space", "dt") if not hasattr(made, name)]
    if missing:
        raise ValueError(f"{made.name} has no {', '.join(missing)}: set it in the class, or in its constructor")
    return made


def cores() -> int:
    """The number of cores that this process may use."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, found // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))  # the processes on this machine share them
