"""Calls that cannot work: each is refused by a ValueError of one line that says what is wrong and what to do."""

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from toys import Track

from metarl.envs import Step, TaskEnv, TaskVectorEnv, World, ids, make_world, register, world_class
from metarl.envs.baselines import BaselinesVecEnv
from metarl.envs.contacts import list_contacts
from metarl.envs.goals import Corners, Disc, Square, TargetVelocity
from metarl.envs.half_cheetah import HalfCheetahVel
from metarl.envs.informed import informed
from metarl.envs.point import PointNav

CHEETAH = "metarl/HalfCheetahVel-v0"
NAN, INF = float("nan"), float("inf")
NUMBER = "give a whole number from 1 up"
FROM_0 = "give a whole number from 0 up"
INDICES = "give indices from 0 to 1, or a mask of 2 True or False"
Call = Callable[[], object]


class Endless(Track):
    default_horizon = 0


class Half(Track):
    """A World that a user has not finished, `advance` of whose returns what it is told."""

    returns: Any = None

    def advance(self, actions: np.ndarray, alive: np.ndarray | None) -> Step:
        return self.returns


def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def cheetah(n: int = 2) -> World:
    world = make_world(CHEETAH, n)
    world.set_tasks(1.0)
    world.reset(generator())
    return world


def single(**settings: Any) -> TaskEnv:
    env = TaskEnv(PointNav, **settings)
    env.reset(seed=0)
    return env


def vector(**settings: Any) -> TaskVectorEnv:
    env = TaskVectorEnv(Track, 3, **settings)
    env.reset(seed=0)
    return env


def closed(env: Any) -> Any:
    env.close()
    return env


def returning(step: Any) -> Any:
    env = TaskEnv(type("Half", (Half,), {"returns": step}))
    env.reset(seed=0)
    return env


NO, ONE = np.zeros(1, bool), np.zeros(1)

WORLDS: dict[str, tuple[Call, str]] = {
    "no copies": (lambda: make_world(CHEETAH, 0), f"num_envs is 0: {NUMBER}"),
    "part of a copy": (lambda: make_world(CHEETAH, 2.5), f"num_envs is 2.5: {NUMBER}"),
    "copies as text": (lambda: make_world(CHEETAH, "2"), f"num_envs is '2': {NUMBER}"),
    "fewer threads than none": (lambda: make_world(CHEETAH, 2, threads=-1), f"threads is -1: {FROM_0}"),
    "an id that is a number": (lambda: world_class(3), "id is 3: give a text"),
    "a World's own copies": (lambda: Track(NAN), f"num_envs is nan: {NUMBER}"),
    "too many tasks": (lambda: cheetah().set_tasks([1, 2, 3]), "tasks have shape (3,): give (2, 1), or (1,) for all"),
    "tasks of no World": (lambda: cheetah().set_tasks(NAN), "task [nan] is not allowed"),
    "tasks as text": (lambda: cheetah().set_tasks("fast"), "HalfCheetahVel: tasks are 'fast': give numbers"),
    "tasks that are none": (lambda: cheetah().set_tasks(None), "tasks are None: give numbers"),
    "rows of two lengths": (lambda: cheetah().set_tasks([[1], [2, 3]]), "give an array of numbers, all rows of one"),
    "tasks for nobody": (lambda: cheetah().set_tasks(1.0, [5]), f"ids are [5]: {INDICES}"),
    "ids as text": (lambda: cheetah().set_tasks(1.0, "a"), f"ids are 'a': {INDICES}"),
    "a mask too short": (lambda: cheetah().set_tasks(1.0, np.array([True])), f"of shape [1]: {INDICES}"),
    "a reset of nobody": (lambda: cheetah().reset(generator(), [7]), f"ids are [7]: {INDICES}"),
    "a seed for a generator": (lambda: cheetah().reset(3), "rng is 3: give a Generator"),
    "tasks by no generator": (lambda: HalfCheetahVel.sample_tasks(2, None), "rng is None: give a Gen"),
    "alive as a list": (lambda: cheetah().step(np.zeros((2, 6)), [True, False]), "alive is [True, False]: give a bool"),
    "alive as numbers": (lambda: cheetah().step(np.zeros((2, 6)), np.array([1, 0])), "give a bool array [2]"),
    "out too small": (lambda: cheetah().observe(np.zeros((2, 3))), "of shape [2, 3]: give an array of floats of shape"),
    "out of integers": (lambda: cheetah().observe(np.zeros((2, 17), int)), "give an array of floats of shape (2, 17)"),
    "half a state": (lambda: cheetah().place(None, np.zeros((2, 9))), "a state is qpos, qvel, but 1 arrays are given"),
    "a small state": (lambda: cheetah().place(None, *np.zeros((2, 2, 3))), "qpos have shape (2, 3): give (2, 9)"),
    "a state of nobody": (lambda: cheetah().place([7], *np.zeros((2, 1, 9))), f"ids are [7]: {INDICES}"),
    "a state that is NaN": (
        lambda: cheetah().place(None, *np.full((2, 2, 9), NAN)),
        "qpos has nan: correct the World's",
    ),
    "positions too many": (
        lambda: PointNav(2).place(None, np.zeros((3, 2))),
        "positions have shape (3, 2): give (2, 2)",
    ),
    "a picture of nobody": (lambda: cheetah().render(5, "rgb_array"), "index is 5: give a whole number from 0 to 1"),
    "a picture as a film": (lambda: cheetah().render(0, "film"), "mode is 'film': give one of 'human', 'rgb_array'"),
    "a point on the screen": (lambda: PointNav(2).render(0, "human"), "mode is 'human': give 'rgb_array'"),
    "a picture without width": (lambda: PointNav(2).render(0, "rgb_array", width=0), f"width is 0: {NUMBER}"),
    "what has no picture": (lambda: Track(2).render(0, "rgb_array"), "Track cannot be rendered: its class has no met"),
    "contacts of no model": (lambda: list_contacts(3), "spec is 3: give a MjSpec"),
    "an informed number": (lambda: informed(3), "world is 3: give a subclass of metarl.envs.World"),
    "an informed list": (lambda: informed([]), "world is []: give a subclass"),
    "velocities as text": (lambda: TargetVelocity("a", "b"), "low is 'a': give a finite number"),
    "velocities turned round": (lambda: TargetVelocity(3.0, 1.0), "low is 3.0 and high is 1.0: give as many numbers"),
    "no velocity": (lambda: TargetVelocity(NAN, 1.0), "low is nan: give a finite number"),
    "bounds of two sizes": (lambda: TargetVelocity([1.0, 2.0], [3.0]), "low is [1.0, 2.0] and high is [3.0]"),
    "a disc turned round": (lambda: Disc(-1.0), "half is -1.0: give a finite number above 0"),
    "an endless square": (lambda: Square(INF), "half is inf: give a finite number above 0"),
    "corners as text": (lambda: Corners("x"), "size is 'x': give a finite number above 0"),
}

REGISTERING: dict[str, tuple[Call, str]] = {
    "what is no World": (lambda: register("bad/A-v0", int), "world is the class int: give a subclass of"),
    "a text": (lambda: register("bad/A-v0", "Track"), "world is 'Track': give a subclass of"),
    "an object": (lambda: register("bad/A-v0", Track(1)), "world is of the type Track: give a"),
    "an abstract World": (
        lambda: register("bad/A-v0", World),
        "World has no advance, initial, place, write, goals: define",
    ),
    "no horizon": (lambda: register("bad/A-v0", Endless), f"default_horizon of Endless is 0: {NUMBER}"),
    "a bad id": (lambda: register("bad id", Track), "id is 'bad id': give one such as 'me/MyTask-v0'"),
    "an id that is none": (lambda: register(None, Track), "id is None: give a text"),
}

SINGLE: dict[str, tuple[Call, str]] = {
    "no World": (lambda: TaskEnv(int), "world is the class int: give a subclass of"),
    "an id": (lambda: TaskEnv(CHEETAH), f"world is '{CHEETAH}': give a subclass of"),
    "a task as text": (lambda: TaskEnv(PointNav, "left"), "PointNav: tasks are ['left']: give numbers"),
    "a task too short": (lambda: TaskEnv(PointNav, [2.0]), "tasks have shape (1, 1): give (1, 2), or (2,) for all"),
    "a task as a dict": (lambda: TaskEnv(PointNav, {"x": 1}), "tasks are [{'x': 1}]: give numbers"),
    "a mode as a number": (lambda: TaskEnv(PointNav, render_mode=3), "render_mode is 3: give a text, or None"),
    "no width": (lambda: TaskEnv(PointNav, width=0), f"width is 0: {NUMBER}"),
    "height as text": (lambda: TaskEnv(PointNav, height="x"), f"height is 'x': {NUMBER}"),
    "gymnasium.make": (lambda: gymnasium.make(CHEETAH, task="fast"), "HalfCheetahVel: tasks are ['fast']: give number"),
    "a step before reset": (lambda: TaskEnv(PointNav).step(ONE), "PointNav: no episode has begun: call reset first"),
    "an action too long": (lambda: single().step(np.zeros(3)), "the action's entries have shape (3,): give (2,)"),
    "actions for two": (lambda: single().step(np.zeros((2, 2))), "entries have shape (2, 2): give (2,)"),
    "an action as text": (lambda: single().step("left"), "the action's entries are 'left': give numbers"),
    "no action": (lambda: single().step(None), "the action's entries are None: give numbers"),
    "a complex action": (lambda: single().step(np.zeros(2, complex)), "ndarray of shape [2]: give numbers"),
    "an action with a gradient": (
        lambda: single().step(torch.zeros(2, requires_grad=True)),
        "give an array of numbers",
    ),
    "an action that is NaN": (lambda: single().step(np.full(2, NAN)), "not finite: look for NaN in the policy"),
    "a step of what is closed": (lambda: closed(single()).step(ONE), "has been closed: make a new one"),
    "a reset of what is closed": (lambda: closed(single()).reset(), "has been closed: make a new one"),
    "a picture of what is closed": (lambda: closed(single()).render(), "has been closed: make a new one"),
    "a negative seed": (lambda: single().reset(seed=-1), f"seed is -1: {FROM_0}, or None"),
    "a seed as text": (lambda: single().reset(seed="a"), f"seed is 'a': {FROM_0}, or None"),
    "options as a number": (lambda: single().reset(options=3), "options is 3: give a dict"),
    "options unknown": (lambda: single().reset(options={1: 1}), "reset does not know the options ['1']"),
    "an option as text": (lambda: single().reset(options={"task": "x"}), "tasks are ['x']: give numbers"),
    "a fixed task that is NaN": (lambda: single().set_task([NAN, 0.0]), "task [nan, 0.0] is not allowed"),
    "fewer tasks than none": (lambda: single().sample_tasks(-1), f"n is -1: {FROM_0}"),
    "no Step": (lambda: returning(3).step(ONE), "Half: `advance` returns 3: return a Step"),
    "a column of rewards": (
        lambda: returning(Step(np.zeros((1, 1)), NO, NO, {})).step(ONE),
        "reward of `advance`'s Step is of the type ndarray of shape [1, 1]: return an array of 1 numbers",
    ),
    "ends as numbers": (
        lambda: returning(Step(ONE, ONE, NO, {})).step(ONE),
        "terminated of `advance`'s Step is of the type ndarray of shape [1]: return an array of 1 True or False",
    ),
}

VECTOR: dict[str, tuple[Call, str]] = {
    "none": (lambda: TaskVectorEnv(Track, 0), f"num_envs is 0: {NUMBER}"),
    "make_vec": (lambda: gymnasium.make_vec(CHEETAH, num_envs=0), f"num_envs is 0: {NUMBER}"),
    "no steps": (lambda: TaskVectorEnv(Track, 2, max_episode_steps=0), f"max_episode_steps is 0: {NUMBER}, or None"),
    "part of a step": (lambda: TaskVectorEnv(Track, 2, max_episode_steps=2.5), "max_episode_steps is 2.5"),
    "three tasks": (lambda: TaskVectorEnv(Track, 2, task=[1, 1, 1]), "tasks have shape (3,): give (2, 1)"),
    "no World": (lambda: TaskVectorEnv(int, 2), "world is the class int: give a subclass of"),
    "threads": (lambda: TaskVectorEnv(Track, 2, threads=-1), f"threads is -1: {FROM_0}"),
    "width": (lambda: TaskVectorEnv(Track, 2, width=-1), f"width is -1: {NUMBER}"),
    "a step before reset": (
        lambda: TaskVectorEnv(Track, 2).step(np.zeros((2, 1))),
        "no episode of sub-environment 0 has begun: call reset",
    ),
    "actions too few": (lambda: vector().step(np.zeros((2, 1))), "Track: actions have shape (2, 1): give (3, 1)"),
    "no actions": (lambda: vector().step(None), "Track: actions are None: give numbers"),
    "actions as text": (lambda: vector().step([[0], [0], ["a"]]), "actions are [[0], [0], ['a']]: give"),
    "infinite actions": (lambda: vector().step(np.full((3, 1), INF)), "Track: action [inf] of sub-environment 0"),
    "a step of what is closed": (lambda: closed(vector()).step(np.zeros((3, 1))), "has been closed: make a new one"),
    "a reset of what is closed": (lambda: closed(vector()).reset(), "has been closed: make a new one"),
    "a picture of what is closed": (lambda: closed(vector()).render(), "has been closed: make a new one"),
    "a negative seed": (lambda: vector().reset(seed=-1), "seed is -1: give a whole number from 0 up or a sequence"),
    "a negative seed among others": (lambda: vector().reset(seed=[1, 2, -3]), "seed is [1, 2, -3]: give a whole"),
    "seeds as text": (lambda: vector().reset(seed="abc"), "seed is 'abc': give a whole number"),
    "seeds too few": (lambda: vector().reset(seed=[1, 2]), "2 seeds for 3 sub-environments"),
    "options as a list": (lambda: vector().reset(options=[1]), "options is [1]: give a dict, or None"),
    "tasks not allowed": (lambda: vector().reset(options={"task": [0, 1, 2]}), "task [2.0] is not allowed"),
    "tasks too few": (lambda: vector().set_tasks([1, 1]), "tasks have shape (2,): give (3, 1), or (1,) for all"),
    "part of a task": (lambda: vector().sample_tasks(1.5), f"n is 1.5: {FROM_0}"),
}

BASELINES: dict[str, tuple[Call, str]] = {
    "a single environment": (lambda: BaselinesVecEnv(single()), "env is of the type TaskEnv: give a Task"),
    "no scale": (lambda: BaselinesVecEnv(vector(), action_scale=NAN), "action_scale is nan: give a finite number"),
    "inputs": (lambda: BaselinesVecEnv(vector(), inputs=3), "inputs is 3: give a function"),
    "actions too few": (lambda: BaselinesVecEnv(vector()).step(np.zeros((2, 1))), "actions have shape (2, 1): give"),
    "no actions": (lambda: BaselinesVecEnv(vector()).step(None), "actions are None: give numbers"),
    "a step before reset": (
        lambda: BaselinesVecEnv(TaskVectorEnv(Track, 2)).step(np.zeros((2, 1))), "has begun: call reset first"
    ),
    "a negative seed": (lambda: BaselinesVecEnv(vector()).seed(-1), f"seed is -1: {FROM_0}, or None"),
    "an index": (lambda: BaselinesVecEnv(vector()).get_attr("num_envs", [7]), "give a sequence in which each is"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("call", "message"),
    [
        pytest.param(*case, id=f"{table}: {name}")
        for table, cases in (
            ("world", WORLDS), ("register", REGISTERING), ("single", SINGLE), ("vector", VECTOR),
            ("baselines", BASELINES),
        )
        for name, case in cases.items()
    ],
)  # fmt: skip
def test_is_refused_in_one_line(call: Call, message: str) -> None:
    before = ids()
    with pytest.raises(ValueError) as refusal:  # noqa: PT011  (the whole message is looked at)
        call()
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert ids() == before  # what was refused is not listed
    assert not [id for id in gymnasium.registry if id.startswith("bad")]
