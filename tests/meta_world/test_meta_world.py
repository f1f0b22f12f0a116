"""Meta-World's tasks are its own, step by step, and what it tells of success comes through."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

metaworld = pytest.importorskip("metaworld", reason="needs Meta-World, with MuJoCo 3.3: `make test-metaworld`")

from gymnasium.utils.env_checker import check_env  # noqa: E402

from metarl import tasks as task_distributions  # noqa: E402
from metarl.core import adapt  # noqa: E402
from metarl.envs.meta_world import KINDS, MetaWorld, tasks_of  # noqa: E402
from metarl.envs.sources import kind_of  # noqa: E402
from metarl.learners.maml import MAML  # noqa: E402
from metarl.nets.policy import GaussianPolicy  # noqa: E402
from metarl.rl.losses import surrogate  # noqa: E402
from metarl.rl.rollout import WorldDistribution  # noqa: E402

REACH = "metarl.envs.meta_world:metarl/ML1-reach-v3-train"


@pytest.fixture(scope="module")
def ml10() -> Any:
    return metaworld.ML10(seed=0)


def own(classes: Any, task: Any) -> Any:
    """Meta-World's own environment of a task."""
    env = classes[task.env_name]()
    env.set_task(task)
    return env


def actions(n: int) -> np.ndarray:
    return np.random.default_rng(5).uniform(-1.2, 1.2, (n, 4)).astype(np.float32)


def test_tasks_are_the_benchmarks_own() -> None:
    benchmark = metaworld.ML1("push-v3", seed=3)
    for split, tasks in (("train", benchmark.train_tasks), ("test", benchmark.test_tasks)):
        env = MetaWorld("ML1", "push-v3", split=split, seed=3)
        drawn = env.sample_tasks(50, np.random.default_rng(0))
        assert sorted(task.data for task in drawn) == sorted(task.data for task in tasks)
        assert drawn != env.sample_tasks(50, np.random.default_rng(1))
        assert [task.data for task in drawn] != [task.data for task in tasks]  # in random order


@pytest.mark.parametrize("split", ["train", "test"])
def test_kinds_of_tasks_are_ml10s_and_drawn_equally_often(ml10: Any, split: str) -> None:
    classes = list(ml10.train_classes if split == "train" else ml10.test_classes)
    assert len(classes) == {"train": 10, "test": 5}[split]
    env = MetaWorld("ML10", split=split)
    drawn = env.sample_tasks(3 * len(classes) + 2, np.random.default_rng(0))
    counts = Counter(task.env_name for task in drawn)
    assert sorted(counts) == sorted(classes)
    assert sorted(counts.values()) == [3] * (len(classes) - 2) + [4, 4]
    assert len({task.data for task in drawn}) == len(drawn)
    all_of_them = env.sample_tasks(50 * len(classes), np.random.default_rng(1))
    assert len({task.data for task in all_of_them}) == 50 * len(classes)


def test_steps_are_meta_worlds_own(ml10: Any) -> None:
    """The arms of a World go from kind to kind, and begin each episode as new ones of Meta-World do."""
    classes = {**ml10.train_classes, **ml10.test_classes}
    tasks = [next(t for t in (*ml10.train_tasks, *ml10.test_tasks) if t.env_name == kind) for kind in classes]
    world = kind_of(partial(MetaWorld, "ML10"), info=("success", "unscaled_reward"))(3)
    rng = np.random.default_rng(0)
    for first in range(0, len(tasks), 3):
        met = tasks[first : first + 3]
        world.set_tasks(met)
        world.place(None, *world.initial(met, rng))
        envs = [own(classes, task) for task in met]
        np.testing.assert_array_equal(world.observe(), [env.reset()[0] for env in envs])
        for action in actions(20):
            step = world.step(np.tile(action, (3, 1)))
            theirs = [env.step(np.clip(action, -1, 1)) for env in envs]
            np.testing.assert_array_equal(world.observe(), [each[0] for each in theirs])
            np.testing.assert_array_equal(step.reward, [each[1] for each in theirs])
            for name, values in step.parts.items():
                np.testing.assert_array_equal(values, [each[4][name] for each in theirs])
            assert not world.observe()[:, -3:].any()  # the goal is hidden
        world.set_tasks(tasks[:3])  # other kinds meanwhile
        world.place(None, *world.initial(tasks[:3], rng))
        world.step(np.ones((3, 4)))


def test_every_kind_of_task_observes_and_acts_alike() -> None:
    env = MetaWorld("ML1", "reach-v3")
    assert len(KINDS) == 50
    for kind, arm in metaworld.env_dict.ALL_V3_ENVIRONMENTS.items():
        made = arm()
        assert made.observation_space == env.observation_space, kind
        assert made.action_space == env.action_space, kind
        made.close()


def pushing(direction: np.ndarray) -> MAML:
    """A learner whose policy always acts in `direction` [4]."""
    torch.manual_seed(0)
    policy = GaussianPolicy(39, 4, hidden=(4,), init_std=1e-4)
    with torch.no_grad():
        for parameter in policy.mean.parameters():
            parameter.zero_()
        list(policy.mean.parameters())[-1].copy_(torch.as_tensor(direction, dtype=torch.float32))
    return MAML(policy, surrogate)


def test_success_is_of_the_episodes_in_which_the_task_was_solved_at_any_step() -> None:
    """A hand that goes straight towards one task's goal, and on, passes it and no goal on the other side."""
    distribution = task_distributions.meta_world("ML1", "reach-v3", trajectories=2, horizon=60, workers=1)
    tasks = sorted(distribution.sample(50, np.random.default_rng(0)).given, key=goal)
    met = [tasks[0], tasks[-1]]  # farthest to the left and to the right
    env = own(metaworld.ML1("reach-v3", seed=0).train_classes, met[0])
    env.reset()
    way = env._target_pos - env.tcp_center
    action = np.append(way / np.abs(way).max(), 0.0)
    told = np.array([env.step(action)[4]["success"] for _ in range(60)])
    assert told.max() == 1
    assert told.mean() < 0.5
    batch = distribution.tasks(met, np.random.default_rng(0))
    score, info = batch.score_and_info(next(adapt(pushing(action), batch, steps=0))[0])
    assert info["success"].tolist() == [1.0, 0.0]
    assert score[0] > score[1]


def goal(task: Any) -> float:
    """Where a task of reach-v3 has its goal from left to right, m."""
    return float(pickle.loads(task.data)["rand_vec"][3])


def test_numbers_are_the_same_for_any_number_of_workers() -> None:
    found = []
    for workers in (1, 2):
        distribution = WorldDistribution(REACH, trajectories=2, horizon=5, workers=workers)
        batch = distribution.sample(3, np.random.default_rng(0))
        seen = batch.trajectories(next(adapt(pushing(np.ones(4)), batch, steps=0))[0])
        found.append(seen)
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


@pytest.mark.filterwarnings("ignore")
def test_gymnasiums_checker_is_content() -> None:
    env = gymnasium.make(REACH, disable_env_checker=True)
    check_env(env.unwrapped, skip_render_check=True)
    assert env.spec is not None
    assert env.spec.max_episode_steps == 500


def test_episodes_end_after_500_steps() -> None:
    env = gymnasium.make(REACH)
    env.reset(seed=0)
    ends = [env.step(np.zeros(4, np.float32))[2:4] for _ in range(500)]
    assert ends == [(False, False)] * 499 + [(False, True)]


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "no kind": (lambda: MetaWorld("ML1"), "the name of ML1's kind of task is None: give it one, such as 'reach-v3'"),
    "a kind": (lambda: MetaWorld("ML10", "reach-v3"), "the name of ML10's kind of task is 'reach-v3': leave it out"),
    "an old kind": (lambda: MetaWorld("ML1", "reach-v2"), "name is 'reach-v2': choose one of assembly-v3, "),
    "no benchmark": (lambda: MetaWorld("MT10"), "benchmark is 'MT10'"),  # type: ignore[arg-type]
    "no split": (lambda: MetaWorld("ML10", split="val"), "split is 'val'"),  # type: ignore[arg-type]
    "no task": (lambda: MetaWorld("ML1", "reach-v3").set_task(3), "the task is 3: give one of Meta-World's, as"),
    "no id": (lambda: kind_of("metarl.envs.meta_world:metarl/ML10"), "unknown environment 'metarl/ML10'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_is_refused_in_a_line(case: str) -> None:
    call, message = REFUSED[case]
    with pytest.raises(ValueError, match=r"\A.*\Z") as error:  # one line
        call()
    assert message in str(error.value)


def test_the_tasks_of_a_kind_are_drawn_once() -> None:
    assert tasks_of("ML1", "reach-v3", "train", 0) is tasks_of("ML1", "reach-v3", "train", 0)
