"""The velocities that adapted policies reach for given goal velocities."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from metarl.core import Predictor, adapt
from metarl.rl.rollout import WorldDistribution, WorldTasks
from metarl.run.load import load, load_options
from metarl.train import Stream, generator


def achieved_velocities(path: Path, *, steps: int, iteration: int, device: torch.device) -> tuple[np.ndarray, ...]:
    """The goals [tasks], and the velocities [tasks] before and after `steps` gradient steps, in m/s.

    They are measured on the test tasks of the run in `path`, with its checkpoint after `iteration` iterations. A
    velocity is the mean over the second half of trajectories, whose actions are sampled as in evaluation.
    """
    trained = load(path, **load_options(device, None))
    distribution, learner, tests = trained.tasks, trained.learner, trained.tests
    if not isinstance(distribution, WorldDistribution) or distribution.template.goals.space.shape != (1,):
        raise ValueError(f"{path} has no goal velocities: choose a run of a task with goal velocities")
    trained.load(iteration)
    tasks = distribution.sample(tests.tasks, generator(Stream.TEST, 0))
    with torch.no_grad():
        predictors = [predict for predict, _ in adapt(learner, tasks, steps=steps, chunk=tests.chunk)]
    measured = WorldDistribution(
        distribution.env, trajectories=distribution.trajectories, horizon=distribution.horizon,
        action_scale=distribution.action_scale, threads=distribution.threads, info=["x_velocity"],
    ).tasks(tasks.goals, tasks.rng)  # fmt: skip
    return (tasks.goals[:, 0], *(velocity(measured, predict) for predict in (predictors[0], predictors[-1])))


def velocity(tasks: WorldTasks, predict: Predictor) -> np.ndarray:
    """The mean forward velocity [T] over the second half of new trajectories; 0 after an episode has ended.

    x_velocity must be the only key in the `info` of the tasks' distribution.
    """
    rollout = tasks.trajectories(predict)
    half = tasks.distribution.horizon // 2
    velocities = torch.where(rollout.mask.bool(), rollout.info[..., 0], 0.0)[:, half:]
    return velocities.mean((1, 2)).numpy()
