"""An adapted policy for use elsewhere, through Stable-Baselines3's `predict`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from metarl.core import Learner, Predictor, adapt
from metarl.envs.world import numbers
from metarl.ranges import Positive, Whole, checked
from metarl.rl.rollout import WorldDistribution
from metarl.trees import count


class AdaptedPolicy:
    """The policy of one task of `predictor`, deterministic or sampling its actions from a generator of its own."""

    @checked
    def __init__(self, predictor: Predictor, *, task: int = 0, action_scale: Positive = 1.0, seed: Whole = 0) -> None:
        self.act, self.task, self.count = predictor.arrays(), task, count(predictor.states)
        if not 0 <= task < self.count:
            raise ValueError(f"task is {task}: the predictor has {self.count} tasks, numbered from 0")
        self.action_scale = action_scale
        self.rng = np.random.default_rng(seed)

    def predict(
        self,
        observation: ArrayLike,
        state: Any = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, Any]:
        """Actions [act] or [n, act] for observations [obs] or [n, obs]; `state` comes back as it was."""
        seen = numbers("observations", observation).astype(np.float32)
        if seen.ndim not in (1, 2):
            raise ValueError(f"observations have shape {seen.shape}: give [obs] or [n, obs]")
        if not np.isfinite(seen).all():
            raise ValueError("observations are not finite: look for NaN in the environment they come from")
        flat = np.atleast_2d(seen)
        try:
            mean, log_std = self.act(np.repeat(flat[None], self.count, axis=0))
        except RuntimeError as error:  # torch's, which names a matrix product
            reason = str(error).splitlines()[0]
            raise ValueError(f"the policy does not take observations of shape {seen.shape} ({reason})") from None
        action, spread = mean[self.task], np.exp(log_std[self.task])
        if not deterministic:
            action = action + spread * self.rng.standard_normal(action.shape, dtype=np.float32)
        return (self.action_scale * action).reshape(*seen.shape[:-1], -1), state


@checked
def adapt_policy(
    learner: Learner,
    distribution: WorldDistribution,
    task: ArrayLike,
    *,
    steps: Whole | None = None,
    seed: Whole = 0,
) -> AdaptedPolicy:
    """Adapt `learner` to one task (the environment's `task`) for `steps` inner steps (default: as trained)."""
    goal = distribution.template.as_tasks(task, 1)
    tasks = distribution.tasks(goal, np.random.default_rng(seed))
    *_, (predictor, _) = adapt(learner, tasks, steps=learner.steps if steps is None else steps)
    return AdaptedPolicy(predictor, action_scale=distribution.action_scale, seed=seed)
