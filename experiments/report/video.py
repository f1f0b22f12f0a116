"""Films of a policy on one task before and after adaptation, or on several tasks after it, side by side."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metarl.envs import TaskEnv
from metarl.envs.tasked import Tasked
from metarl.envs.world import build
from metarl.experiments.report.captions import goal_in_words, measured_in_words
from metarl.experiments.report.frames import AFTER, BEFORE, FORMATS, Panel, Shot, compose, writer
from metarl.experiments.report.labels import gradient_steps
from metarl.experiments.report.output import check_output
from metarl.files import atomic_write
from metarl.rl.policy import AdaptedPolicy, adapt_policy
from metarl.rl.rollout import WorldDistribution
from metarl.run.load import load
from metarl.train import Stream, generator

FASTEST = 25  # maximum number of actions per second; environments with more, such as those of 2017, are slowed down


def film_run(run_folder: str | Path, out: Path, *, tasks: Sequence[float] = (), steps: int | None, seed: int) -> None:
    """Film the policy of `run_folder` on a task before and after `steps` gradient steps, side by side, into `out`.

    `tasks` are goals, if goals are single numbers; for more than one, the film shows all of them after adaptation. By
    default, one held-out task is sampled with `seed`, and `steps` is the learner's number of inner steps. All episodes
    start from the same state and use the mean actions of the policy. Raises ValueError for a supervised run, an
    environment without images, a task outside its space and an `out` that cannot be written, and if OpenGL or a
    package is missing.
    """
    out = check_output(out, list(FORMATS))
    write = writer(out.suffix.lower())
    if steps is not None and steps < 0:
        raise ValueError(f"steps is {steps}: give 0 or a positive number")
    trained = load(run_folder)
    distribution, learner = trained.tasks, trained.learner
    if not isinstance(distribution, WorldDistribution):
        preset = trained.folder.config["preset"]
        raise ValueError(f"{run_folder} is a run of {preset}, which is supervised: there is nothing to film")
    kind = distribution.kind.rendered() if isinstance(distribution.kind, Tasked) else distribution.kind
    if "rgb_array" not in build(kind, 1).render_modes:
        raise ValueError(
            f"{run_folder} cannot be filmed, because {distribution.template.name} does not render images: adapt a "
            "policy by metarl.adapt_policy and render the environment in your own loop"
        )
    steps = learner.steps if steps is None else steps
    form = FORMATS[out.suffix.lower()]
    goals = [choose_task(distribution, task, seed) for task in tasks or (None,)]
    shown = [(goals[0], 0), (goals[0], steps)] if len(goals) == 1 else [(goal, steps) for goal in goals]
    panels = []
    for goal, k in shown:
        env = TaskEnv(kind, goal, render_mode="rgb_array", width=form.width, height=form.height)
        try:
            check_drawing(env)
            policy = adapt_policy(learner, distribution, goal, steps=k, seed=seed)
            shots = record(env, policy, horizon=distribution.horizon, every=form.every, seed=seed)
        finally:
            env.close()
        title = f"after {gradient_steps(k)}" if k or len(goals) > 1 else "before adaptation"
        panels.append(Panel(shots, title, goal_in_words(env.world, goal), AFTER if k else BEFORE))
    real = env.metadata["render_fps"]
    rate = min(real, FASTEST)
    slowed = f"slowed {real / rate:.3g} times" if rate < real else ""
    frames = compose(panels, slowed=slowed, form=form)
    with atomic_write(out) as path:
        write(path, frames, rate / form.every)


def choose_task(distribution: WorldDistribution, task: float | None, seed: int) -> Any:
    """The task: the number `task` if it is given, otherwise one that is sampled with `seed` as in tests."""
    world = distribution.template
    sampled = world.sample_tasks(1, generator(Stream.TEST, seed))
    if task is None:
        return sampled[0]
    if sampled.dtype == object or sampled.size != 1:
        what = "is not a number" if sampled.dtype == object else f"has {sampled.size} numbers"
        raise ValueError(f"a task of {world.name} {what}: leave out --task and choose one by --seed")
    return np.full(sampled.shape[1:], task)


def record(env: TaskEnv, policy: AdaptedPolicy, *, horizon: int, every: int, seed: int) -> list[Shot]:
    """Record an episode with the policy's mean actions from the initial state of `seed`.

    Returns every `every`-th step and the last one.
    """
    observation, info = env.reset(seed=seed)
    shots, total, over = [], 0.0, False
    for step in range(horizon + 1):
        if step > 0:
            action, _ = policy.predict(observation, deterministic=True)
            observation, reward, terminated, truncated, info = env.step(action)
            over = terminated or truncated
            total += reward
        if over or step == horizon or step % every == 0:
            picture = env.render()
            assert picture is not None
            shots.append(Shot(picture, step, measured_in_words(env, info), total, over))
        if over:
            break
    return shots


def check_drawing(env: TaskEnv) -> None:
    """Render one image, to raise ValueError early. Without a display, EGL is used unless MUJOCO_GL is set."""
    if sys.platform == "linux" and not any(os.environ.get(v) for v in ("MUJOCO_GL", "DISPLAY", "WAYLAND_DISPLAY")):
        os.environ["MUJOCO_GL"] = "egl"  # MuJoCo reads it when the first image is rendered
    env.reset(seed=0)
    try:
        env.render()
    except RuntimeError:
        raise ValueError(
            f"{env.world.name}: OpenGL cannot draw here (MUJOCO_GL is {os.environ.get('MUJOCO_GL', 'not set')}): "
            "install EGL (Debian: apt install libegl1) and set MUJOCO_GL=egl, or draw in software with "
            "MUJOCO_GL=osmesa (apt install libosmesa6)"
        ) from None
