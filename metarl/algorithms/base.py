"""What every outer loop is: an update of a learner's meta-parameters from collected episodes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import Parameter
from torch.utils._pytree import tree_leaves

from metarl.adaptable import HEAD, check_names
from metarl.core import Episodes, Learner, Tree
from metarl.described import Described
from metarl.parts import lock
from metarl.ranges import Count, check, checked
from metarl.sums import check_weights

Divergence = Callable[[Tree, Tree, Any], Tensor]
"""(new, old, batch) to how far a task's new outputs are from its old ones: 0, flat and curved where they are equal."""

Update = TypeVar("Update", bound=Callable[..., dict[str, float]])


def exclusive(update: Update) -> Update:
    """Decorate an outer loop's `update`: it checks the episodes, and other threads that use the learner wait."""

    @wraps(update)
    def whole(self: Algorithm, episodes: Episodes) -> dict[str, float]:
        check(Episodes, episodes, "episodes")
        if self.uses_query and not tree_leaves(episodes.query):
            name = type(self).__name__
            raise ValueError(f"{name} judges by the query, and the episodes have none: collect with query=True")
        with lock(self.learner):
            return update(self, episodes)

    return whole  # type: ignore[return-value]


class Algorithm(Described, ABC):
    """An outer loop over `learner`. `uses_query` is False where the update asks for support batches only."""

    uses_query = True

    @checked
    def __init__(self, learner: Learner, *, chunk: Count | None = None) -> None:
        """`chunk` is the number of tasks differentiated at a time: less memory, the same result."""
        self.learner, self.chunk = learner, chunk

    @abstractmethod
    def update(self, episodes: Episodes) -> dict[str, float]:
        """Change the learner's parameters in place; returns metrics for the log."""

    def state_dict(self) -> dict[str, Any]:
        """What the outer loop remembers between updates."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore `state_dict`. Raises ValueError for what another outer loop remembers."""
        own = self.state_dict()
        if not isinstance(state, Mapping) or state.keys() != own.keys():
            found = ", ".join(map(str, state)) if isinstance(state, Mapping) else type(state).__name__
            expected = ", ".join(own) or "nothing"
            raise ValueError(
                f"the state ({found or 'empty'}) is not of {type(self).__name__}, which remembers {expected}"
            )

    def _moved(self, freeze: str = "") -> list[Parameter]:
        """The learner's parameters but those that `freeze` names. Raises ValueError where it names none, or all.

        Of what is fixed, a head that the inner loop adapts begins at 0 from now on. The outer loop cannot learn it, and
        the random layer that it was made with would be noise to every task, for ever; from 0 the first inner step makes
        it the same function of every task's own features (the zeroing trick of Kao et al. 2022).
        """
        stay = set(check_names(self.learner, freeze, "freeze")) if freeze else set()
        moved = [parameter for name, parameter in self.learner.named_parameters() if name not in stay]
        if not moved:
            raise ValueError(f"{type(self.learner).__name__} has no parameter to learn: evaluate it as it is")
        if not all(parameter.requires_grad for parameter in self.learner.parameters()):
            raise ValueError("a parameter of the learner does not require gradients: say by `freeze` what is to stay")
        adapted = {id(leaf) for leaf in tree_leaves(self.learner.init())}
        heads = [getattr(module, HEAD, None) for module in self.learner.modules()]
        ends = {id(p) for head in heads if isinstance(head, nn.Module) for p in head.parameters()}
        with torch.no_grad():
            for name in stay:
                parameter = self.learner.get_parameter(name)
                if id(parameter) in adapted & ends:
                    parameter.zero_()
        return moved

    def _assign_gradient(self, gradients: Iterable[Tensor]) -> float:
        """Make `gradients` the parameters' .grad; returns their joint norm. Raises FloatingPointError if not finite."""
        for parameter, gradient in zip(self.learner.parameters(), gradients, strict=True):
            parameter.grad = gradient
        norm = float(torch.nn.utils.get_total_norm([p.grad for p in self.learner.parameters() if p.grad is not None]))
        require_finite("the meta-gradient", norm)
        return norm


def check_decay(lr: float, lr_end: float, iterations: int | None) -> None:
    """Raise ValueError where the outer learning rate would rise, or go to `lr_end` in an unknown number of updates."""
    if iterations is None:
        raise ValueError(f"lr_end is {lr_end}: say by iterations in how many updates the learning rate goes to it")
    if lr_end > lr:
        raise ValueError(f"lr_end is {lr_end}, more than lr, {lr}: give 0 ≤ lr_end ≤ lr")


def check_steps(step_weights: Sequence[float], learner: Learner) -> None:
    """Raise ValueError unless there is one weight for each of the learner's inner steps, one of them more than 0."""
    check_weights(step_weights, "step_weights")
    if len(step_weights) != learner.steps:
        raise ValueError(
            f"step_weights has {len(step_weights)} entries for {learner.steps} inner steps: give one a step"
        )


def require_finite(what: str, value: float) -> None:
    """Raise FloatingPointError unless `value` is finite, before it reaches the parameters."""
    if not torch.isfinite(torch.tensor(value)):
        raise FloatingPointError(
            f"{what} is {value}: this step was not taken. Train with a smaller inner or outer step size; "
            "checkpoints written before are whole"
        )
