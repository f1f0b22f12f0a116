"""Action spaces: which distribution a policy needs for one, and what the environment receives of an action."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete, Space

from metarl.ranges import checked
from metarl.rl.distributions import ActionDistribution, Bernoulli, Categorical, Gaussian, MultiCategorical

KINDS = (Gaussian, Categorical, MultiCategorical, Bernoulli)
ARGUMENTS: dict[type[Space], tuple[str, ...]] = {  # what a space is made of, besides its dtype
    Box: ("low", "high"), Discrete: ("n", "start"), MultiDiscrete: ("nvec", "start"), MultiBinary: ("n",),
}  # fmt: skip


class ActionForm(NamedTuple):
    """What an action space asks of a policy."""

    distribution: type[Any]  # Gaussian, Categorical, MultiCategorical or Bernoulli
    outputs: int  # numbers that a net gives for one observation: means, or logits
    size: int  # numbers in one recorded action


@checked
def distribution_for(space: Space) -> ActionForm:
    """The distribution for actions in a Box, Discrete, MultiDiscrete or MultiBinary space, of any shape.

    Raises ValueError for another space, for a Box of whole numbers and for one that is unbounded.
    """
    size = int(np.prod(space.shape or ()))
    if isinstance(space, Box) and size and np.issubdtype(space.dtype, np.floating):
        if not space.is_bounded("both"):
            raise ValueError(f"the action space {space} has no bounds: give a Box with a finite low and high")
        return ActionForm(Gaussian, size, size)
    if isinstance(space, Discrete):
        return ActionForm(Categorical, int(space.n), 1)
    if isinstance(space, MultiDiscrete):
        return ActionForm(MultiCategorical, int(space.nvec.sum()), size)
    if isinstance(space, MultiBinary):
        return ActionForm(Bernoulli, size, size)
    raise ValueError(
        f"no policy acts in the action space {space}: give a Box of floating-point numbers, or a Discrete, "
        "MultiDiscrete or MultiBinary space"
    )


def check_fits(distribution: ActionDistribution, space: Space) -> None:
    """Raise ValueError where `distribution` is one of those above, and not the one for `space`."""
    wanted = distribution_for(space).distribution
    if isinstance(distribution, KINDS) and not isinstance(distribution, wanted):
        raise ValueError(
            f"the policy gives a {type(distribution).__name__} distribution, and actions are in {space}: give a "
            f"{wanted.__name__}, as the policy of metarl.nets.policy_for does"
        )


def to_action(space: Space, action: np.ndarray, *, scale: float = 1.0) -> np.ndarray:
    """What n environments with the action space `space` receive for recorded actions [n, act]: [n, …], of its dtype.

    In a Box it is `scale` times the action, of which ±1 are the bounds, and it is not cut there; elsewhere choices are
    counted from the space's `start`. Raises ValueError for numbers that are no choice there.
    """
    shape = (len(action), *(space.shape or ()))
    if isinstance(space, Box):
        middle, half = middle_and_half(space)
        return (middle + half * (scale * action.reshape(shape))).astype(space.dtype, copy=False)
    choices: Any = 2
    if isinstance(space, Discrete | MultiDiscrete):
        choices = space.n if isinstance(space, Discrete) else space.nvec.reshape(-1)
    chosen = np.nan_to_num(action, nan=-1).astype(np.int64)
    wrong = (chosen != action) | (chosen < 0) | (chosen >= choices)
    if wrong.any():
        first = action[wrong.any(-1)][0].tolist()
        raise ValueError(f"the action {first} is no choice in {space}: build the policy for this space")
    return (chosen.reshape(shape) + getattr(space, "start", 0)).astype(space.dtype)


def middle_and_half(space: Box) -> tuple[np.ndarray, np.ndarray]:
    """The middle of a Box and half its range: 0 and 1 for the Box ±1."""
    return (space.low + space.high) / 2, (space.high - space.low) / 2


def describe_space(space: Space) -> dict[str, Any]:
    """An action space as JSON."""
    values = {name: getattr(space, name) for name in ARGUMENTS[type(space)]}
    plain = {k: v.tolist() if isinstance(v, np.ndarray | np.generic) else v for k, v in values.items()}
    return {"space": type(space).__name__, **plain, "dtype": str(space.dtype)}


def build_space(description: dict[str, Any]) -> Space:
    """The action space of a description."""
    kind = {kind.__name__: kind for kind in ARGUMENTS}[description["space"]]
    dtype: Any = np.dtype(description["dtype"]).type
    values = {name: description[name] for name in ARGUMENTS[kind]}
    if kind is Box:
        return Box(np.array(values["low"], dtype), np.array(values["high"], dtype), dtype=dtype)
    if kind is MultiDiscrete:
        return MultiDiscrete(np.array(values["nvec"]), dtype=dtype, start=np.array(values["start"]))
    return kind(**values)
