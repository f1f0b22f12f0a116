"""The velocity that adapted policies reach, beside the goal they were asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from metarl.core import Predictor, adapt
from metarl.rl.rollout import WorldDistribution, WorldTasks
from metarl.run.load import load, load_options
from metarl.train import Stream, generator


def achieved_velocities(path: Path, *, steps: int, iteration: int, device: torch.device) -> tuple[np.ndarray, ...]:
    """Goals [tasks] and the velocities [tasks] reached before and after `steps` gradient steps, m/s.

    Of the run in `path` after `iteration` iterations, on its test tasks. A velocity is the mean over the second half
    of the task's trajectories, whose actions are drawn as in evaluation.
    """
    trained = load(path, **load_options(device, None))
    distribution, learner, tests = trained.tasks, trained.learner, trained.tests
    if not isinstance(distribution, WorldDistribution) or distribution.template.goals.space.shape != (1,):
        raise ValueError(f"{path} has no goal velocities: choose a run of a velocity task")
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
    """Mean forward velocity [T] over the second half of fresh trajectories; 0 once an episode has ended.

    The tasks' distribution names x_velocity alone in its `info`.
    """
    seen = tasks.trajectories(predict)
    half = tasks.distribution.horizon // 2
    moving = torch.where(seen.mask.bool(), seen.info[..., 0], 0.0)[:, half:]
    return moving.mean((1, 2)).numpy()
