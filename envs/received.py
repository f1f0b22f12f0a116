"""What the sub-environments of a World receive of the actions that it is given."""

from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete, MultiDiscrete, Space


def received(space: Space[Any], actions: np.ndarray, alive: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Actions [N, …] for an action space, and which of them, [N] bool, are none.

    In a Box all finite numbers are actions, as they are. In a Discrete, MultiDiscrete or MultiBinary space the whole
    numbers from its `start` on are, of which int64 is made. Where alive [N] bool is False, what is no action is no
    fault, and a harmless one takes its place: nothing spreads.
    """
    if isinstance(space, Box):
        harmless, right = np.zeros(1), np.isfinite(actions)
    else:
        harmless = np.asarray(getattr(space, "start", 0))
        count = space.n if isinstance(space, Discrete) else space.nvec if isinstance(space, MultiDiscrete) else 2
        right = (actions >= harmless) & (actions < harmless + count) & (actions == np.floor(actions))
    wrong = np.zeros(len(actions), bool)
    if not right.all():
        wrong = ~right.reshape(len(actions), -1).all(axis=1)
        actions = np.where(right, actions, harmless)
        if alive is not None:
            wrong &= alive
    return (actions if isinstance(space, Box) else actions.astype(np.int64)), wrong


def told(task: Any) -> str:
    """A task for a message, most often [task]: in full where it is short."""
    values = task.tolist() if isinstance(task, np.ndarray | np.generic) else task
    if not isinstance(values, list) or len(values) <= 4:
        return str(values)
    return f"[{', '.join(map(str, values[:4]))}, … {len(values)} numbers]"
