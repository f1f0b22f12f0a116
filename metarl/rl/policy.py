"""An adapted policy for use elsewhere, through Stable-Baselines3's `predict`."""

from __future__ import annotations

from typing import Any

import numpy as np

from metarl.core import Learner, Predictor, adapt
from metarl.rl.rollout import WorldDistribution


class AdaptedPolicy:
    """The policy of one task of `predictor`, deterministic or sampling its actions from a generator of its own."""

    def __init__(self, predictor: Predictor, *, task: int = 0, action_scale: float = 1.0, seed: int = 0) -> None:
        self.act, self.task, self.count = predictor.arrays(), task, len(next(iter(predictor.states.values())))
        if not 0 <= task < self.count:
            raise ValueError(f"task is {task}: the predictor has {self.count} tasks, numbered from 0")
        self.action_scale = action_scale
        self.rng = np.random.default_rng(seed)

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, Any]:
        """Actions [act] or [n, act] for observations [obs] or [n, obs]; `state` comes back as it was."""
        flat = np.atleast_2d(np.asarray(observation, np.float32))
        mean, log_std = self.act(np.broadcast_to(flat, (self.count, *flat.shape)))
        action, spread = mean[self.task], np.exp(log_std[self.task])
        if not deterministic:
            action = action + spread * self.rng.standard_normal(action.shape, dtype=np.float32)
        return (self.action_scale * action).reshape(*np.shape(observation)[:-1], -1), state


def adapt_policy(
    learner: Learner, distribution: WorldDistribution, task: Any, *, steps: int | None = None, seed: int = 0
) -> AdaptedPolicy:
    """Adapt `learner` to one task (the environment's `task`) for `steps` inner steps (default: as trained)."""
    tasks = distribution.tasks(np.reshape(task, (1, -1)), np.random.default_rng(seed))
    *_, (predictor, _) = adapt(learner, tasks, steps=learner.steps if steps is None else steps)
    return AdaptedPolicy(predictor, action_scale=distribution.action_scale, seed=seed)
