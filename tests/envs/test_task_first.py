"""The task comes before the state: a start may depend on the task, in every form of an environment."""

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from toys import Track, pusher

from metarl.core import adapt
from metarl.envs import TaskEnv, TaskVectorEnv
from metarl.envs.baselines import BaselinesVecEnv
from metarl.envs.goals import TargetVelocity
from metarl.rl.rollout import WorldDistribution


class AtGoal(Track):
    """Starts ±0.05 around ten times the task: `initial` reads the tasks it is given, `place` those that are set."""

    goals = TargetVelocity(1.0, 3.0)

    def initial(self, tasks: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray]:
        return (super().initial(tasks, rng)[0] + 9 * tasks[:, 0],)

    def place(self, ids: Any, *state: np.ndarray) -> None:
        rows = slice(None) if ids is None else ids
        self.x[rows] = state[0] + self.tasks[rows, 0]


def near(starts: np.ndarray, tasks: np.ndarray) -> None:
    assert np.abs(starts - 10 * tasks).max() <= 0.05
    assert len(np.unique(tasks)) > 1


@pytest.mark.parametrize("fixed", [None, 1.5])
def test_a_single_environment_starts_where_its_task_is(fixed: float | None) -> None:
    env = TaskEnv(AtGoal, fixed)
    starts, tasks = [], []
    for episode in range(20):
        options = {"task": 2.5} if episode % 5 == 4 else None
        observation, info = env.reset(seed=0 if episode == 0 else None, options=options)
        starts.append(observation)
        tasks.append(info["task"])
    near(np.array(starts), np.array(tasks))


@pytest.mark.parametrize("fixed", [None, [1.5, 2.0, 2.5]])
def test_vectors_of_them_do_at_every_reset(fixed: list[float] | None) -> None:
    env = TaskVectorEnv(AtGoal, 3, max_episode_steps=2, task=fixed)
    observations, infos = env.reset(seed=0)
    near(observations, infos["task"])
    for _ in range(3):
        for _ in range(3):  # two steps and an automatic reset
            observations, *_, infos = env.step(np.zeros((3, 1)))
        near(observations, infos["task"])
    mask = np.array([True, False, True])
    observations, infos = env.reset(options={"reset_mask": mask, "task": [[1.1], [1.2], [1.3]]})
    near(observations[mask], infos["task"][mask])
    assert env.tasks[mask].ravel().tolist() == [1.1, 1.3]


def test_stable_baselines_form_and_rollouts_do_too() -> None:
    vector = TaskVectorEnv(AtGoal, 3, max_episode_steps=2)
    env = BaselinesVecEnv(vector)
    env.seed(0)
    near(env.reset(), vector.tasks)
    for _ in range(4):
        observations, _, dones, _ = env.step(np.zeros((3, 1)))
        if dones.any():
            near(observations, vector.tasks)
    tasks = WorldDistribution(AtGoal, trajectories=4, threads=1).sample(5, np.random.default_rng(0))
    seen = tasks.trajectories(next(adapt(pusher(), tasks, steps=0))[0])
    near(seen.observations[:, 0, :, 0].numpy(), tasks.goals)
    assert seen.observations.dtype == torch.float32


def test_states_of_a_seed_are_gymnasiums_own_at_every_reset() -> None:
    ours, theirs = gymnasium.make("metarl/HalfCheetahVel-v0"), gymnasium.make("HalfCheetah-v5")
    for seed in (3, None, None, 4):
        np.testing.assert_array_equal(ours.reset(seed=seed)[0], theirs.reset(seed=seed)[0])
