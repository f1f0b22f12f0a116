"""Meta-World: a robot arm with fifty kinds of tasks and hidden goals (Yu et al. 2019, arXiv 1910.10897).

The import of this module registers the training and test tasks of all benchmarks in Gymnasium:
"metarl/ML1-reach-v3-train", "metarl/ML1-reach-v3-test" and so on for each kind of task, and "metarl/ML10-train", … for
ML10, ML25 and ML45. The id "metarl.envs.meta_world:metarl/ML10-train" imports the module automatically.
"""

from __future__ import annotations

from collections import defaultdict
from copy import deepcopy
from functools import cache
from typing import Any, Literal

import gymnasium
import numpy as np
from gymnasium.spaces import Space

from metarl.envs.imports import safe_path
from metarl.ranges import Whole, checked, shown

try:
    with safe_path():
        import metaworld
        from metaworld.env_dict import ALL_V3_ENVIRONMENTS
        from metaworld.sawyer_xyz_env import SawyerXYZEnv
        from metaworld.types import Task
except ModuleNotFoundError as error:
    if error.name != "metaworld":
        raise
    raise ImportError('Meta-World is not installed: pip install "metarl-torch[metaworld]"') from None

Benchmark = Literal["ML1", "ML10", "ML25", "ML45"]
Split = Literal["train", "test"]
HORIZON = SawyerXYZEnv.max_path_length  # 500 steps
KINDS = tuple(ALL_V3_ENVIRONMENTS)  # "reach-v3", …


class MetaWorld(gymnasium.Env[np.ndarray, np.ndarray]):
    """A robot arm with the tasks of a Meta-World benchmark, whose goals it does not observe.

    The tasks are those of `metaworld.ML10(seed=seed).train_tasks` and the like, 50 of each kind. ML1 has one kind,
    `name`, and other goals in tests; the other benchmarks have other kinds in tests. A task is sampled at each reset
    unless `set_task` has been called. Observations [39] are the hand, the gripper and the objects in this step and in
    the previous one, and zeros for the goal. Actions [4] move the hand and the fingers. Episodes are truncated after
    500 steps and never terminate. `info["success"]` is 1 in steps at the end of which the task is solved, otherwise 0.
    """

    metadata = SawyerXYZEnv.metadata

    @checked
    def __init__(
        self,
        benchmark: Benchmark,
        name: str | None = None,
        *,
        split: Split = "train",
        seed: Whole = 0,
        render_mode: str | None = None,
    ) -> None:
        if (benchmark == "ML1") != (name is not None):
            remedy = "give it one, such as 'reach-v3'" if name is None else "leave it out, because only ML1 has one"
            raise ValueError(f"the name of {benchmark}'s kind of task is {shown(name)}: {remedy}")
        if name is not None and name not in KINDS:
            raise ValueError(f"name is {shown(name)}: choose one of {', '.join(KINDS)}")
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"render_mode is {shown(render_mode)}: choose from {self.metadata['render_modes']}")
        self.benchmark, self.name, self.split, self.seed = benchmark, name, split, seed
        self.render_mode = render_mode
        # copies, because each space has its own random number generator
        self.observation_space, self.action_space = deepcopy(spaces())
        self._arm: Any = None  # the simulation of the current kind of task
        self._kind = ""
        self._fixed = False

    @checked
    def sample_tasks(self, n: Whole, rng: np.random.Generator) -> list[Task]:
        """Sample n tasks with equal numbers (±1) of all kinds; all 50 tasks of a kind occur before one is repeated."""
        kinds = tasks_of(self.benchmark, self.name, self.split, self.seed)
        order = _shuffled(len(kinds), n, rng)
        decks = [iter(_shuffled(len(tasks), int((order == i).sum()), rng)) for i, tasks in enumerate(kinds)]
        return [kinds[i][next(decks[i])] for i in order]

    def set_task(self, task: Task) -> None:
        """Set the task of all following episodes."""
        self._take(task)
        self._fixed = True

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode. Its initial state depends only on the task, and the task, if it is sampled, on the seed."""
        super().reset(seed=seed)
        if not self._fixed:
            self._take(self.sample_tasks(1, self.np_random)[0])
        return self._arm.reset()

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        return self._arm.step(action)

    def render(self) -> Any:
        return self._arm.render()

    def close(self) -> None:
        if self._arm is not None:
            self._arm.close()
            self._arm = None

    def _take(self, task: Task) -> None:
        if not isinstance(task, Task) or task.env_name not in ALL_V3_ENVIRONMENTS:
            raise ValueError(f"the task is {shown(task)}: give one of Meta-World's, as sample_tasks does")
        if self._arm is None or self._kind != task.env_name:
            if self._arm is not None:
                _idle[self._kind, self.render_mode].append(self._arm)
            idle = _idle[task.env_name, self.render_mode]
            self._kind = task.env_name
            self._arm = idle.pop() if idle else ALL_V3_ENVIRONMENTS[self._kind](render_mode=self.render_mode)
        self._arm.set_task(task)


_idle: dict[tuple[str, str | None], list[SawyerXYZEnv]] = defaultdict(list)
"""Unused simulations, by kind of task, that are kept for reuse, because creating one takes 0.2 s and 20 MB."""


@cache
def spaces() -> tuple[Space[Any], Space[Any]]:
    """The observation space and the action space, which are the same for all kinds of tasks if the goal is hidden."""
    arm = ALL_V3_ENVIRONMENTS["reach-v3"]()
    found = arm.observation_space, arm.action_space
    arm.close()
    return found


@cache
def tasks_of(benchmark: Benchmark, name: str | None, split: Split, seed: int) -> list[list[Task]]:
    """The tasks of a benchmark's split, a list for each kind; Meta-World takes about a second to create each list."""
    made = _benchmark(benchmark, name, seed)
    tasks = made.train_tasks if split == "train" else made.test_tasks
    kinds = made.train_classes if split == "train" else made.test_classes
    return [[task for task in tasks if task.env_name == kind] for kind in kinds]


@cache
def _benchmark(benchmark: Benchmark, name: str | None, seed: int) -> Any:
    kind = getattr(metaworld, benchmark)
    return kind(seed=seed) if name is None else kind(name, seed=seed)


def _shuffled(count: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """n integers below `count` in random order, with equal numbers (±1) of each."""
    return np.concatenate([np.empty(0, int), *(rng.permutation(count) for _ in range(-(-n // count)))])[:n]


for _split in ("train", "test"):
    for _id, _arguments in (
        *((f"ML1-{kind}", {"benchmark": "ML1", "name": kind}) for kind in KINDS),
        *((benchmark, {"benchmark": benchmark}) for benchmark in ("ML10", "ML25", "ML45")),
    ):
        gymnasium.register(
            f"metarl/{_id}-{_split}",
            entry_point="metarl.envs.meta_world:MetaWorld",
            max_episode_steps=HORIZON,
            kwargs={**_arguments, "split": _split},
        )
