"""Kinds of World made of environments written for Gymnasium: informed, as vector environments, and drawn."""

from __future__ import annotations

import pickle
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.classic_control.pendulum import PendulumEnv
from own_envs import Line, MassPendulum
from toys import Track

from metarl.envs import TaskEnv, TaskVectorEnv
from metarl.envs.baselines import BaselinesVecEnv
from metarl.envs.informed import informed
from metarl.envs.sources import kind_of
from metarl.learners.gradient import GradientLearner
from metarl.nets.policy import GaussianPolicy
from metarl.rl.guidance import expert_of
from metarl.rl.losses import surrogate
from metarl.rl.rollout import WorldDistribution


class Drawn(Line):
    """A `Line` that draws its position as a white column, 20 pixels high and 30 wide."""

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012

    def __init__(self, *, render_mode: str | None = None) -> None:
        super().__init__(limit=4)
        self.render_mode = render_mode

    def render(self) -> Any:
        image = np.zeros((20, 30, 3), np.uint8)
        image[:, round(15 + 10 * self.x)] = 255
        return image


gymnasium.register("me/Drawn-v0", entry_point=Drawn)


@pytest.mark.parametrize("env", [MassPendulum, Line], ids=["a vector", "a number"])
def test_informed_environments_differ_only_in_what_is_observed(env: Any) -> None:
    kind = kind_of(env)
    plain, shown = kind(3), pickle.loads(pickle.dumps(informed(kind)))(3)
    tasks = plain.sample_tasks(3, np.random.default_rng(0))
    size = plain.observation_space.shape[0]
    for world in (plain, shown):
        world.set_tasks(tasks)
        world.reset(np.random.default_rng(1))
    assert shown.observation_space.shape == (size + 1,)
    assert shown.observation_space.low[-1] == kind.space.low.item()  # type: ignore[attr-defined]
    for _ in range(3):
        np.testing.assert_array_equal(shown.observe()[:, :size], plain.observe())
        np.testing.assert_array_equal(shown.observe()[:, size:], tasks.reshape(3, 1))
        mine, its = (world.step(np.full((3, 1), 0.5, np.float32)) for world in (shown, plain))
        np.testing.assert_array_equal(mine.reward, its.reward)


def test_a_task_that_is_no_array_of_numbers_is_refused_in_one_line() -> None:
    def rods(n: int, rng: np.random.Generator) -> list[Any]:
        return [{"mass": rng.uniform(0.5, 2.0)} for _ in range(n)]

    kind = kind_of(PendulumEnv, sample_tasks=rods, set_task=lambda env, task: None)
    with pytest.raises(ValueError, match=r"^PendulumEnv, informed: a task is \{'mass': .*, which a policy cannot obs"):
        informed(kind)(2)


def test_an_expert_is_known_by_its_environment() -> None:
    """Made anew, as a run folder makes it; one of another environment is refused."""
    pendulum = partial(WorldDistribution, horizon=5, workers=1)
    oracle = WorldDistribution(informed(kind_of("own_envs:me/OwnPendulum-v0")), workers=1, info=("mass",))
    assert oracle.kind == informed(pendulum("own_envs:me/OwnPendulum-v0").kind)
    assert oracle.kind.info == ("mass",)  # type: ignore[attr-defined]
    learner = GradientLearner(GaussianPolicy(4, 1), surrogate)
    assert callable(expert_of(learner, oracle, pendulum("own_envs:me/OwnPendulum-v0")))
    for other in (pendulum(Line), WorldDistribution(Track)):
        with pytest.raises(ValueError, match="and is no expert for"):
            expert_of(learner, oracle, other)


def test_a_vector_environment_equals_single_ones_and_tells_truncation_from_termination() -> None:
    """Each instance restarts on its own; Gymnasium's SyncVectorEnv with the same seeds is the reference."""

    def make() -> Line:
        return Line(edge=0.35, limit=5)

    kind = kind_of(make)
    mine, its = TaskVectorEnv(kind, 3), gymnasium.vector.SyncVectorEnv([lambda: TaskEnv(kind)] * 3)
    np.testing.assert_array_equal(mine.reset(seed=3)[0], its.reset(seed=3)[0])
    actions = np.array([[4.0], [0.1], [-2.0]], np.float32)  # the first and the third leave, the second is cut off
    ended = np.zeros((2, 3), int)
    for _ in range(20):
        results = mine.step(actions)[:4]
        for a, b in zip(results, its.step(actions)[:4], strict=True):
            np.testing.assert_array_equal(a, b)
        ended += results[2:]
    assert (ended[0] > 0).tolist() == [True, False, True]
    assert (ended[1] > 0).tolist() == [False, True, False]


def test_the_time_limit_of_an_id_is_a_truncation_after_as_many_steps_of_each_episode() -> None:
    env = TaskVectorEnv(kind_of("own_envs:me/OwnPendulum-v0"), 2)
    env.reset(seed=0)
    step = partial(env.step, np.zeros((2, 1), np.float32))
    for _ in range(5):
        step()
    env.reset(options={"reset_mask": np.array([False, True])})
    cut = np.array([step()[2:4] for _ in range(12)])  # [12, terminated or truncated, 2]
    assert not cut[:, 0].any()
    assert [np.flatnonzero(cut[:, 1, i]).tolist() for i in (0, 1)] == [[6], [11]]


def test_stable_baselines_actions_reach_the_bounds_of_the_box() -> None:
    """`Line` has actions in [−2, 4]: −1 and 1 are the bounds, of which `action_scale` takes a part."""
    env = BaselinesVecEnv(TaskVectorEnv(kind_of(Line), 3), action_scale=0.5)
    before = env.reset()
    after, _, _, infos = env.step(np.array([[-2.0], [0.0], [1.0]], np.float32))
    np.testing.assert_allclose((after - before)[:, 0], [-0.2, 0.1, 0.25], atol=1e-6)
    assert infos == [{}, {}, {}]


def test_environments_are_drawn_where_they_can_be() -> None:
    env = TaskEnv(kind_of(Drawn).rendered(), 0.3, render_mode="rgb_array")  # type: ignore[attr-defined]
    observation, _ = env.reset(seed=0)
    image = env.render()
    assert image is not None
    assert image.shape == (20, 30, 3)
    assert np.flatnonzero(image[0, :, 0]).tolist() == [round(15 + 10 * observation[0])]
    with pytest.raises(ValueError, match=r"^Line cannot be rendered: metadata\['render_modes'\], \[\], lacks 'rgb"):
        kind_of(Line).rendered()  # type: ignore[attr-defined]
