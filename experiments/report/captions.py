"""Captions of films: the goal of a task, and the measured quantity that it concerns."""

from __future__ import annotations

from typing import Any

import numpy as np

from metarl.envs import TaskEnv
from metarl.envs.goals import Corners, Direction, Goals, Heading, Square, TargetVelocity
from metarl.envs.world import World

WIDTH = 40  # maximum number of characters of a task


def goal_in_words(world: World, task: Any) -> str:
    """A caption that describes the goal of `task` in `world`: [task] in a native World, otherwise any object."""
    goals = goals_of(world)
    if isinstance(goals, TargetVelocity):
        return f"goal: {task[0]:.2f} m/s"
    if isinstance(goals, Direction):
        return f"goal: {'forward' if task[0] > 0 else 'backward'}"
    if isinstance(goals, Heading):
        return f"goal: heading {np.degrees(task[0]):.0f}°"
    if isinstance(goals, Square | Corners):
        return f"goal: ({task[0]:.2f}, {task[1]:.2f}) m"
    numbers = np.asarray(task)
    if numbers.dtype.kind in "fiub":
        words = ", ".join(f"{value:.3g}" for value in numbers.ravel())
    else:
        words = " ".join(str(task).split())
    return f"task: {words if len(words) <= WIDTH else words[: WIDTH - 2] + ' …'}"


def goals_of(world: World) -> Goals | None:
    """The task distribution of a native World; None for an ordinary environment."""
    return getattr(world, "goals", None)


def measured_in_words(env: TaskEnv, info: dict[str, Any]) -> str:
    """A caption with the quantity in `info` that the goal concerns; "" before the first step or if there is none."""
    goals, task = goals_of(env.world), env.task
    if isinstance(goals, TargetVelocity | Direction) and "x_velocity" in info:
        return f"velocity {info['x_velocity']:.2f} m/s"
    if isinstance(goals, Heading) and "y_velocity" in info:
        along = info["x_velocity"] * np.cos(task[0]) + info["y_velocity"] * np.sin(task[0])
        return f"velocity along it {along:.2f} m/s"
    if isinstance(goals, Square | Corners) and "y_position" in info:
        return f"distance {np.hypot(info['x_position'] - task[0], info['y_position'] - task[1]):.2f} m"
    return ""
