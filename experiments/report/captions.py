"""Captions of films: the goal of a task, and the measured quantity that it concerns."""

from __future__ import annotations

from typing import Any

import numpy as np

from metarl.envs import TaskEnv
from metarl.envs.goals import Corners, Direction, Goals, Heading, Square, TargetVelocity


def goal_in_words(goals: Goals, task: np.ndarray) -> str:
    """A caption that describes the goal of `task`, an array [task]."""
    if isinstance(goals, TargetVelocity):
        return f"goal: {task[0]:.2f} m/s"
    if isinstance(goals, Direction):
        return f"goal: {'forward' if task[0] > 0 else 'backward'}"
    if isinstance(goals, Heading):
        return f"goal: heading {np.degrees(task[0]):.0f}°"
    if isinstance(goals, Square | Corners):
        return f"goal: ({task[0]:.2f}, {task[1]:.2f}) m"
    return f"task: {', '.join(f'{value:.3g}' for value in task)}"


def measured_in_words(env: TaskEnv, info: dict[str, Any]) -> str:
    """A caption with the quantity in `info` that the goal concerns; "" before the first step or if there is none."""
    goals, task = env.world.goals, env.task
    if isinstance(goals, TargetVelocity | Direction) and "x_velocity" in info:
        return f"velocity {info['x_velocity']:.2f} m/s"
    if isinstance(goals, Heading) and "y_velocity" in info:
        along = info["x_velocity"] * np.cos(task[0]) + info["y_velocity"] * np.sin(task[0])
        return f"velocity along it {along:.2f} m/s"
    if isinstance(goals, Square | Corners) and "y_position" in info:
        return f"distance {np.hypot(info['x_position'] - task[0], info['y_position'] - task[1]):.2f} m"
    return ""
