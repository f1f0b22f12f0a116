"""The velocities of a reproduction's picture, against those that the simulator tells step by step."""

import numpy as np
import pytest
import torch

import metarl as ml
from metarl.core import adapt
from metarl.envs import World
from metarl.envs.world import Step
from metarl.experiments.recipes.velocity import velocity
from metarl.rl.rollout import WorldDistribution


def test_a_velocity_is_the_mean_over_the_second_half_of_all_trajectories(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[np.ndarray] = []
    take = World.step

    def step(self: World, actions: np.ndarray, alive: np.ndarray | None = None) -> Step:
        found = take(self, actions, alive)
        told.append(found.parts["x_velocity"])
        return found

    torch.manual_seed(0)
    learner = ml.MAML(ml.nets.GaussianPolicy(17, 6, hidden=(8,)), ml.losses.surrogate, lr=0.1)
    distribution = WorldDistribution(
        "metarl/HalfCheetahVel-v0", trajectories=2, horizon=5, threads=1, info=["x_velocity"]
    )
    tasks = distribution.tasks(np.array([[0.5], [1.5], [2.5]]), np.random.default_rng(0))
    (predict, _), *_ = adapt(learner, tasks, steps=0)
    monkeypatch.setattr(World, "step", step)
    found = velocity(tasks, predict)
    assert len(told) == 5
    by_task = np.array(told).reshape(5, 3, 2)  # [H, T, N]
    np.testing.assert_allclose(found, by_task[2:].mean((0, 2)), rtol=1e-5)
    assert np.ptp(found) > 0.01
