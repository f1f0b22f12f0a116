"""Ordinary environments with tasks: how these are set, where they come from, and what is refused in one line."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, Text
from gymnasium.wrappers import TimeLimit
from own_envs import Line, MassPendulum
from toys import Track

from metarl.envs.many import ManyEnvs
from metarl.envs.sources import kind_of

RNG = np.random.default_rng


class Plain(Line):
    """A line that knows no tasks of its own."""

    task_space = None  # type: ignore[assignment]

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return super().reset(seed=seed, options={"task": getattr(self, "told", 0.0)})

    def __getattribute__(self, name: str) -> Any:
        if name == "task_space":
            raise AttributeError(name)
        return super().__getattribute__(name)


class BySetTask(Plain):
    def set_task(self, task: Any) -> None:
        self.told = task["goal"]

    def sample_tasks(self, num_tasks: int) -> list[dict[str, float]]:
        return [{"goal": goal} for goal in self.np_random.uniform(-1, 1, num_tasks)]


class ByResetTask(Plain):
    def reset_task(self, task: Any) -> None:
        self.told = task

    def sample_tasks(self, n: int, rng: np.random.Generator) -> np.ndarray:
        return rng.uniform(-1, 1, n)


class Goal(NamedTuple):
    name: str
    at: float


def tell(env: Any, task: Goal) -> None:
    env.unwrapped.told = task.at


def goals(n: int, rng: np.random.Generator) -> list[Goal]:
    return [Goal("goal", at) for at in rng.uniform(-1, 1, n)]


def begun(world: ManyEnvs) -> list[float]:
    """The goals that a world's instances have after their tasks were drawn, set, and episodes begun."""
    world.set_tasks(world.sample_tasks(world.num_envs, RNG(1)))
    world.place(None, *world.initial(world.tasks, RNG(2)))
    return [env.unwrapped.goal for env in world.envs]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (lambda: kind_of(Line), float),
        (lambda: kind_of(lambda: TimeLimit(Line(), 5)), float),
        (lambda: kind_of(BySetTask), lambda task: task["goal"]),
        (lambda: kind_of(ByResetTask), float),
        (lambda: kind_of(Plain, set_task=tell, sample_tasks=goals), lambda task: task.at),
        (lambda: kind_of(Line, task_space=Box(0, 0.5, (), np.float64)), float),
        (lambda: kind_of(Line, sample_tasks=lambda n, rng: rng.uniform(0, 1, n)), float),
    ],
)
def test_instances_have_their_tasks_before_their_states(kind: Any, value: Callable[[Any], float]) -> None:
    world = kind()(4)
    found = begun(world)
    assert found == [value(task) for task in world.tasks]
    assert len(set(found)) == world.num_envs
    assert begun(world) == found
    assert len(world.observe()) == world.num_envs


def test_episodes_are_those_of_the_seeds_and_do_not_depend_on_the_instance() -> None:
    world, seeds = kind_of("own_envs:me/OwnPendulum-v0")(3), np.array([5, 6, 7])
    masses, actions = np.array([[0.6], [1.2], [1.9]]), RNG(0).uniform(-2, 2, (12, 3, 1)).astype(np.float32)
    for order in ([0, 1, 2], [2, 0, 1]):
        world.set_tasks(masses[order])
        world.place(None, seeds[order])
        for t, action in enumerate(actions):
            step = world.step(action[order])
            assert step.terminated.tolist() == [t == 11] * 3  # its time limit is kept
        for i, which in enumerate(order):
            env = gymnasium.make("me/OwnPendulum-v0")
            env.reset(seed=int(seeds[which]), options={"task": masses[which]})
            for action in actions:
                observation, reward, *_ = env.step(action[which])
            np.testing.assert_array_equal(world.observe()[i], observation)
            assert step.reward[i] == reward


def test_tasks_are_arrays_where_they_are_numbers_and_objects_elsewhere() -> None:
    assert kind_of(Line)(1).sample_tasks(3, RNG(0)).dtype == np.float64
    assert kind_of(MassPendulum)(1).sample_tasks(3, RNG(0)).shape == (3, 1)
    tasks = kind_of(Plain, set_task=tell, sample_tasks=goals)(1).sample_tasks(3, RNG(0))
    assert tasks.dtype == object
    assert [type(task) for task in tasks] == [Goal] * 3
    space = Dict(mass=Box(1, 2, ()), kind=Discrete(2))
    taken = kind_of(Plain, set_task=lambda env, task: None, task_space=space)(1).sample_tasks(2, RNG(0))
    assert all(space.contains(task) for task in taken)


def test_the_time_limit_is_the_horizon() -> None:
    assert kind_of("own_envs:me/OwnPendulum-v0")(1).default_horizon == 12
    with pytest.raises(ValueError, match=r"^Line has no time limit: give horizon"):
        kind_of(Line)(1).default_horizon  # noqa: B018


def test_worlds_are_taken_as_they_are() -> None:
    assert kind_of(Track) is Track
    assert kind_of("metarl/PointNav-v0") is kind_of("metarl.envs:metarl/PointNav-v0")


class Unbounded(Line):
    action_space = Box(-np.inf, np.inf, (1,), np.float32)


class Worded(Line):
    observation_space = Text(3)  # type: ignore[assignment]


class Forgetful(Line):
    def sample_tasks(self, n: int, rng: np.random.Generator) -> np.ndarray:
        return np.random.default_rng().uniform(-1, 1, n)


class Old(Line):
    def reset(self, **_: Any) -> Any:
        self.goal, self.x, self.t = 0.0, 0.0, 0
        return np.zeros(1)

    def set_task(self, task: Any) -> None:
        pass


class OldGym:
    __module__ = "gym.envs"


def broken() -> gymnasium.Env[Any, Any]:
    raise RuntimeError("no licence")


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "no way": (lambda: kind_of("Pendulum-v1", task_space=Box(0, 1, (1,))), "Pendulum-v1 has no way to set a task: its"),
    "no tasks": (lambda: kind_of("CartPole-v1"), "CartPole-v1 defines no tasks: add `sample_tasks(n, rng)` or"),
    "no module": (lambda: kind_of("nowhere:me/A-v0"), "the module nowhere cannot be imported (ModuleNotFoundError: No"),
    "no id": (lambda: kind_of("own_envs:me/OwnPendulu-v0"), "unknown environment 'me/OwnPendulu-v0'"),
    "no environment": (lambda: kind_of(lambda: 3), "<lambda> makes 3, which is not a gymnasium.Env: give a gymnasium"),
    "an old one": (lambda: kind_of(lambda: OldGym()), "which is not a gymnasium.Env: port it from gym to gymnasium ("),
    "one that fails": (lambda: kind_of(broken), "broken cannot be made: RuntimeError: no licence"),
    "an old reset": (lambda: kind_of(Old), "Old: step 0 of an episode of task"),
    "unbounded": (lambda: kind_of(Unbounded), "Unbounded: actions are in Box(-inf, inf, (1,), float32): give a Box of"),
    "words": (lambda: kind_of(Worded), "observations are in of the type Text: give a Box, Discrete, MultiDiscrete"),
    "other tasks": (lambda: kind_of(Forgetful), "Forgetful: sample_tasks returns different tasks for the same rand"),
    "too few": (lambda: kind_of(Line, sample_tasks=lambda n, rng: [0.1]), "Line: sample_tasks did not return 3 tasks"),
    "outside": (
        lambda: kind_of(Line, task_space=Line.task_space, sample_tasks=lambda n, rng: [7.0] * n),
        "Line: the task 7.0 is not in the task space, Box(-1.0, 1.0, (), float64)",
    ),
    "a World's": (lambda: kind_of(Track, set_task=tell), "set_task is given, but the class Track is a World"),
    "one twice": (lambda: kind_of(partial(lambda env: env, Line()))(2), "returns the same environment twice: let"),
    "one task": (lambda: kind_of(Line)(2).set_tasks([0.1]), "Line: tasks are [0.1]: give a sequence of 2 tasks"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_is_refused_in_one_line(name: str) -> None:
    call, message = REFUSED[name]
    with pytest.raises(ValueError) as error:  # noqa: PT011  (the whole message is looked at)
        call()
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_module_in_the_current_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path not in ("", str(tmp_path))])
    (tmp_path / "my_lines.py").write_text(
        "import gymnasium\nfrom own_envs import Line\n"
        "gymnasium.register('me/Short-v0', entry_point=Line, max_episode_steps=7)\n"
    )
    try:
        assert kind_of("my_lines:me/Short-v0")(1).default_horizon == 7
    finally:
        gymnasium.registry.pop("me/Short-v0", None)
