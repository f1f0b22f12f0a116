"""World: many copies of one environment, each with its own task, stepped together.

To add an environment, subclass `World`: set goals, observation_space, action_space and dt, and write the four abstract
methods (a MuJoCo model needs less: subclass `metarl.envs.physics.MujocoWorld`). One line then gives it a single and a
vector form and a name for `make_world`: `metarl.envs.register("me/MyTask-v0", MyWorld)`. Without a name,
`TaskEnv(MyWorld)` and `TaskVectorEnv(MyWorld, 16)` do.
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
    """What one action of every sub-environment brought; arrays are fresh, the caller may keep them."""

    reward: np.ndarray  # [N] float64
    terminated: np.ndarray  # [N] bool; a diverged sub-environment is terminated too
    diverged: np.ndarray  # [N] bool: the simulation became NaN or huge and MuJoCo put it back to its default state
    parts: dict[str, np.ndarray]  # the reward's parts ("reward_…", they sum to it) and measured quantities, each [N]


class World(ABC):
    """num_envs sub-environments of one kind; tasks [N, task] float64 holds what each is asked for now.

    Use: `set_tasks`, `reset` (or `initial` and `place`), then `observe` and `step` in turn. A World keeps no clock and
    starts no episode by itself. Sub-environments are named by `ids`: indices [n], a mask [N] bool, or None for all.

    The task comes before the state: whoever starts an episode draws and sets its task first. So a start may depend on
    the task: `initial` is given the tasks of the very episodes it draws states for, and `place` finds them in
    `self.tasks`.
    """

    goals: ClassVar[Goals]
    default_horizon: ClassVar[int] = 200  # actions an episode
    render_modes: ClassVar[tuple[str, ...]] = ()
    parallel: ClassVar[bool] = False  # whether steps leave Python's lock: several worlds on threads are then faster
    observation_space: Box  # of one sub-environment, float64
    action_space: Box  # of one sub-environment: ±1, float32; a Discrete or its like is understood, too
    dt: float  # seconds an action

    @checked
    def __init__(self, num_envs: Count, *, threads: Whole = 0) -> None:
        """Make num_envs copies on this many threads (0: all cores the process may use, never more than copies)."""
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
    @checked
    def sample_tasks(cls, n: Whole, rng: np.random.Generator) -> np.ndarray:
        """n tasks drawn with rng, [n, task]."""
        return cls.goals.sample(n, rng)

    def set_tasks(self, tasks: ArrayLike, ids: Any = None) -> None:
        """Ask the sub-environments ids for tasks [n, task] from now on, or all of them for one task [task].

        Where a task is one number, [n] and a plain number are understood too. Raises ValueError for a wrong shape and
        for a value that is not finite or not in the task space.
        """
        rows = self.indices(ids)
        self.tasks[rows] = self.as_tasks(tasks, len(rows))

    def as_tasks(self, tasks: ArrayLike, n: int) -> np.ndarray:
        """The tasks of n sub-environments as `set_tasks` understands them, a new array [n, task]."""
        size = self.tasks.shape[1]
        values = numbers(f"{self.name}: tasks", tasks).astype(np.float64)
        if size == 1 and values.shape in ((), (n,)):
            values = values.reshape(-1, 1)
        if values.shape not in ((n, size), (1, size), (size,)):
            raise ValueError(f"{self.name}: tasks have shape {np.shape(tasks)}; give {(n, size)}, or {(size,)} for all")
        values = np.broadcast_to(values, (n, size))
        wrong = np.flatnonzero(~(self.goals.allows(values) & np.isfinite(values).all(axis=1)))
        if len(wrong):
            first = task_in_words(values[wrong[0]])
            raise ValueError(f"{self.name}: task {first} is not allowed; give {self.goals.allowed}")
        return values.copy()

    def rows(self, tasks: ArrayLike) -> np.ndarray:
        """As many tasks as are given, as `as_tasks` gives them."""
        values = np.atleast_1d(numbers(f"{self.name}: tasks", tasks))
        return self.as_tasks(values, len(values))

    @checked
    def reset(self, rng: np.random.Generator, ids: Any = None) -> None:
        """Put the sub-environments ids at random initial states, for their tasks, drawn with rng."""
        rows = self.indices(ids)
        self._check_tasks(rows)
        self.place(None if ids is None else rows, *self.initial(self.tasks[rows], rng))

    def step(self, actions: np.ndarray, alive: np.ndarray | None = None) -> Step:
        """Take actions [N, act]; where alive [N] bool is False nothing moves and every result is 0 or False.

        Actions outside ±1 act as their clipped selves; in a Discrete space they are choices [N], whole numbers, and
        `advance` is given int64. Raises ValueError for an action that is not finite, or no choice. A diverged
        sub-environment earns 0 and stays diverged until it is placed anew.
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
        """Current observations [N, obs], written into out (float64 or float32) or a new float64 array."""
        shape = (self.num_envs, *self.observation_space.shape)
        if out is None:
            out = np.empty(shape)
        elif not isinstance(out, np.ndarray) or out.dtype.kind != "f" or out.shape != shape:
            raise ValueError(f"{self.name}: out is {shown(out)}: give an array of floats of shape {shape}")
        self.write(out)
        return out

    @abstractmethod
    def initial(self, tasks: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        """Random initial states, one for each of tasks [n, task], drawn with rng: arrays [n, …] that `place` takes.

        The states are those of n sub-environments of any World of this class, in an order that is not known here: let
        them depend on tasks and rng, and on nothing that tells sub-environments apart, such as `self.tasks`.
        """

    @abstractmethod
    def place(self, ids: Any, *state: np.ndarray) -> None:
        """Put the sub-environments ids into these states, forgetting what they did before.

        `self.tasks` are those of the episodes that begin.
        """

    @abstractmethod
    def advance(self, actions: np.ndarray, alive: np.ndarray | None) -> Step:
        """`step` for checked actions; results of sub-environments that are not alive or diverged may be anything."""

    @abstractmethod
    def write(self, out: np.ndarray) -> None:
        """Write the current observations into out [N, obs]."""

    def render(self, index: int, mode: str, *, width: int = 480, height: int = 480) -> np.ndarray | None:
        """Sub-environment index as an image [height, width, 3] uint8, or on the screen for mode "human"."""
        raise ValueError(f"{self.name} cannot be drawn: its class has no render")

    def close(self) -> None:  # noqa: B027  (most worlds hold nothing that needs closing)
        """Close what `render` opened."""

    def indices(self, ids: Any) -> np.ndarray:
        """The sub-environments that ids name, as indices [n]; ValueError where they name none."""
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
        """Raise ValueError, naming the World and the task, where `values` [N, …] after `step` actions are not finite.

        For what a World makes by itself; a sub-environment whose simulation broke down reports that it diverged.
        """
        if np.isfinite(values).all():
            return
        i, *number = np.argwhere(~np.isfinite(values))[0].tolist()
        which = f"number {number[0]} of the {what}" if number else f"the {what}"
        raise ValueError(
            f"{self.name}: {which} of sub-environment {i} (task {task_in_words(self.tasks[i])}) after {step} steps is "
            f"{values[i, *number]}: mend the World, or let `advance` say that it diverged"
        )

    def check_state(self, ids: Any, state: tuple[Any, ...], **held: np.ndarray) -> Any:
        """The rows of arrays [N, …] that hold the state which ids name; ValueError unless `state` goes there."""
        if len(state) != len(held):
            raise ValueError(f"{self.name}: a state is {', '.join(held)}: {len(state)} arrays are given")
        rows = slice(None) if ids is None else self.indices(ids)
        for (what, old), values in zip(held.items(), state, strict=True):
            new = numbers(f"{self.name}: {what}", values)
            check_shape(f"{self.name}: {what}", new, old[rows].shape)
            if not np.isfinite(new).all():
                raise ValueError(f"{self.name}: {what} holds {new[~np.isfinite(new)][0]}: mend the World's `initial`")
        return rows

    def check_drawing(self, index: int, mode: str, width: int, height: int) -> None:
        """Raise ValueError unless this sub-environment can be drawn so."""
        check(Annotated[int, Range(0, self.num_envs - 1)], index, f"{self.name}: index")
        check(Literal[self.render_modes], mode, f"{self.name}: mode")
        for what, size in (("width", width), ("height", height)):
            check(Count, size, f"{self.name}: {what}")

    def check_mask(self, what: str, mask: Any) -> None:
        """Raise ValueError, naming `what`, unless mask is [N] bool."""
        if not isinstance(mask, np.ndarray) or mask.dtype != bool or mask.shape != (self.num_envs,):
            raise ValueError(f"{self.name}: {what} is {shown(mask)}: give a bool array [{self.num_envs}]")

    def _check_step(self, step: Any) -> None:
        if not isinstance(step, Step):
            raise ValueError(f"{self.name}: `advance` returns {shown(step)}: return a Step")
        for name, values in zip(("reward", "terminated", "diverged"), step[:3], strict=True):
            kind = "numbers" if name == "reward" else "True or False"
            if np.shape(values) != (self.num_envs,) or (values.dtype == bool) == (name == "reward"):
                wanted = f"return an array of {self.num_envs} {kind}"
                raise ValueError(f"{self.name}: {name} of `advance`'s Step is {shown(values)}: {wanted}")

    def _check_tasks(self, ids: np.ndarray | slice) -> None:
        if np.isnan(self.tasks[ids]).any():
            raise ValueError(f"{self.name}: no task has been set; call set_tasks first")

    def _checked(self, actions: np.ndarray, alive: np.ndarray | None) -> np.ndarray:
        """The actions as `advance` takes them."""
        self._check_tasks(slice(None))
        taken, wrong = valid_actions(self.action_space, actions, alive)
        if wrong.any():
            i = int(wrong.argmax())
            number = "not finite; look for NaN in the policy that chose it"
            fault = number if isinstance(self.action_space, Box) else f"no choice in {self.action_space}"
            who = f"sub-environment {i} (task {task_in_words(self.tasks[i])})"
            raise ValueError(f"{self.name}: action {actions[i].tolist()} of {who} is {fault}")
        return taken


def numbers(what: str, values: ArrayLike) -> np.ndarray:
    """`values` as an array of real numbers; ValueError, naming `what`, where they are something else."""
    try:
        array = np.asarray(values)
    except (ValueError, TypeError, RuntimeError):  # rows of unequal length, a tensor with a gradient
        raise ValueError(f"{what} are {shown(values)}: give an array of numbers, all rows of one length") from None
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{what} are {shown(values)}: give numbers")
    return array


def check_shape(what: str, values: Any, shape: tuple[int, ...]) -> None:
    """Raise ValueError, naming `what`, unless the array `values` has this shape."""
    if np.shape(values) != shape:
        raise ValueError(f"{what} have shape {np.shape(values)}; give {shape}")


def check_world(world: Any) -> type["World"]:
    """`world`, a subclass of World of which objects can be made; ValueError for anything else."""
    if not isinstance(world, type) or not issubclass(world, World):
        raise ValueError(f"world is {shown(world)}: give a subclass of metarl.envs.World")
    missing = [*sorted(world.__abstractmethods__), *(() if hasattr(world, "goals") else ("goals",))]
    if missing:
        raise ValueError(f"{world.__name__} has no {', '.join(missing)}: define all that metarl.envs.World requires")
    return world


def build(world: Callable[..., "World"], num_envs: int, *, threads: int = 0) -> "World":
    """num_envs copies of a World; ValueError where world is no such class, nor a function that makes one."""
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
    """Cores this process may use."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, found // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))  # torchrun's processes on this machine share
