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
    return (tasks.goals[:, 0], *(velocity(tasks, predict) for predict in (predictors[0], predictors[-1])))


def velocity(tasks: WorldTasks, predict: Predictor) -> np.ndarray:
    """Mean forward velocity [T] over the second half of fresh trajectories; 0 once an episode has ended."""
    options, act = tasks.distribution, predict.arrays()
    world = options.world(tasks.n * options.trajectories)
    world.set_tasks(np.repeat(tasks.goals, options.trajectories, axis=0))
    world.reset(tasks.rng)
    alive, total, half = np.ones(world.num_envs, bool), np.zeros(world.num_envs), options.horizon // 2
    for t in range(options.horizon):
        shown = world.observe().astype(np.float32).reshape(tasks.n, options.trajectories, -1)
        mean, log_std = act(np.where(alive.reshape(tasks.n, -1, 1), shown, 0))
        action = mean + np.exp(log_std)[:, None] * tasks.rng.standard_normal(mean.shape, dtype=np.float32)
        step = world.step(options.action_scale * action.reshape(world.num_envs, -1), alive)
        alive &= ~step.terminated
        if t >= half:
            total += step.parts["x_velocity"]
    return (total / (options.horizon - half)).reshape(tasks.n, -1).mean(axis=1)
