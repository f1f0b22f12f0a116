"""Action spaces: the distribution that a policy needs for a space, and the conversion of its samples to actions."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete, Space

from metarl.envs.valid_actions import centre_and_half_range
from metarl.ranges import checked
from metarl.rl.distributions import ActionDistribution, Bernoulli, Categorical, Gaussian, MultiCategorical

KINDS = (Gaussian, Categorical, MultiCategorical, Bernoulli)
ARGUMENTS: dict[type[Space], tuple[str, ...]] = {  # the arguments of a space's constructor, in addition to its dtype
    Box: ("low", "high"), Discrete: ("n", "start"), MultiDiscrete: ("nvec", "start"), MultiBinary: ("n",),
}  # fmt: skip


class ActionForm(NamedTuple):
    """The distribution and the sizes that a policy needs for an action space."""

    distribution: type[Any]  # Gaussian, Categorical, MultiCategorical or Bernoulli
    outputs: int  # number of outputs of the network for one observation: means or logits
    size: int  # number of entries of one recorded action


@checked
def distribution_for(space: Space) -> ActionForm:
    """The distribution for actions in a Box, Discrete, MultiDiscrete or MultiBinary space of any shape.

    Raises ValueError for other spaces, for a Box of integers and for an unbounded Box.
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
        f"there is no policy for the action space {space}: give a Box of floating-point numbers, or a Discrete, "
        "MultiDiscrete or MultiBinary space"
    )


def check_fits(distribution: ActionDistribution, space: Space) -> None:
    """Raise ValueError if `distribution` is one of `KINDS`, but not the one for `space`."""
    wanted = distribution_for(space).distribution
    if isinstance(distribution, KINDS) and not isinstance(distribution, wanted):
        raise ValueError(
            f"the policy returns a {type(distribution).__name__} distribution, but actions are in {space}: return a "
            f"{wanted.__name__}, as the policies of metarl.nets.policy_for do"
        )


def to_action(space: Space, action: np.ndarray, *, scale: float = 1.0) -> np.ndarray:
    """Convert recorded actions [n, act] to actions [n, …] in `space`, with its dtype.

    In a Box, they are multiplied by `scale`, and ±1 are mapped to the bounds; they are not clipped. In other spaces,
    the `start` of the space is added. Raises ValueError for numbers that are not in the space.
    """
    shape = (len(action), *(space.shape or ()))
    if isinstance(space, Box):
        middle, half = centre_and_half_range(space)
        return (middle + half * (scale * action.reshape(shape))).astype(space.dtype, copy=False)
    choices: Any = 2
    if isinstance(space, Discrete | MultiDiscrete):
        choices = space.n if isinstance(space, Discrete) else space.nvec.reshape(-1)
    with np.errstate(invalid="ignore"):  # NaN becomes an integer, which it does not equal
        chosen = action.astype(np.int64)
    wrong = (chosen != action) | (chosen < 0) | (chosen >= choices)
    if wrong.any():
        first = action[wrong.any(-1)][0].tolist()
        raise ValueError(f"the action {first} is not in {space}: build the policy for this space")
    return (chosen.reshape(shape) + getattr(space, "start", 0)).astype(space.dtype)


def describe_space(space: Space) -> dict[str, Any]:
    """A description of an action space as a JSON object."""
    values = {name: getattr(space, name) for name in ARGUMENTS[type(space)]}
    plain = {k: v.tolist() if isinstance(v, np.ndarray | np.generic) else v for k, v in values.items()}
    return {"space": type(space).__name__, **plain, "dtype": str(space.dtype)}


def build_space(description: dict[str, Any]) -> Space:
    """The action space that `describe_space` described."""
    kind = {kind.__name__: kind for kind in ARGUMENTS}[description["space"]]
    dtype: Any = np.dtype(description["dtype"]).type
    values = {name: description[name] for name in ARGUMENTS[kind]}
    if kind is Box:
        return Box(np.array(values["low"], dtype), np.array(values["high"], dtype), dtype=dtype)
    if kind is MultiDiscrete:
        return MultiDiscrete(np.array(values["nvec"]), dtype=dtype, start=np.array(values["start"]))
    return kind(**values)
