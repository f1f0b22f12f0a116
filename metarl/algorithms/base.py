"""The base class of outer loops, which update a learner's meta-parameters from collected episodes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from typing import Any, ClassVar, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import Parameter
from torch.utils._pytree import tree_leaves

from metarl.adaptable import HEAD, check_names
from metarl.core import Episodes, Learner, Tree, meta_gradient
from metarl.described import Described
from metarl.parts import lock
from metarl.ranges import Count, check, checked
from metarl.sums import check_weights

Divergence = Callable[[Tree, Tree, Any], Tensor]
"""A function (new, old, batch) to the divergence of a task's new outputs from its old ones, a scalar.

It must have a minimum of 0 at new = old, and grow with the square of a small difference, as a KL divergence does.
"""

Update = TypeVar("Update", bound=Callable[..., dict[str, float]])


def exclusive(update: Update) -> Update:
    """Decorate an outer loop's `update` so that it checks the episodes and locks the learner against other threads."""

    @wraps(update)
    def exclusive_update(self: Algorithm, episodes: Episodes) -> dict[str, float]:
        check(Episodes, episodes, "episodes")
        if self.uses_query and not tree_leaves(episodes.query):
            name = type(self).__name__
            raise ValueError(f"{name} uses the query, and the episodes have none: collect them with query=True")
        with lock(self.learner):
            return update(self, episodes)

    return exclusive_update  # type: ignore[return-value]


class Algorithm(Described, ABC):
    """An outer loop, which updates the parameters of `learner`. `uses_query` is False if it needs no query."""

    uses_query = True
    compilable: ClassVar[bool] = False  # whether all of its meta-gradients are those of `self.meta_gradient`

    @checked
    def __init__(self, learner: Learner, *, chunk: Count | None = None) -> None:
        """`chunk` bounds the number of tasks that are differentiated at a time, and with it the memory."""
        self.learner, self.chunk = learner, chunk
        self.meta_gradient: Callable[..., tuple[float, list[Tensor]]] = meta_gradient  # or a compiled one

    @abstractmethod
    def update(self, episodes: Episodes) -> dict[str, float]:
        """Change the learner's parameters in place and return metrics for the log."""

    def state_dict(self) -> dict[str, Any]:
        """The state that the outer loop keeps between updates."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore `state_dict`. Raises ValueError for the state of another outer loop."""
        own = self.state_dict()
        if not isinstance(state, Mapping) or state.keys() != own.keys():
            found = f"the entries {list(state)}" if isinstance(state, Mapping) else f"the type {type(state).__name__}"
            raise ValueError(f"the state has {found}, but {type(self).__name__} needs the entries {list(own)}")

    def _trainable(self, freeze: str = "") -> list[Parameter]:
        """The learner's parameters except those that `freeze` names. Raises ValueError if it names none or all of them.

        A frozen head that the inner loop adapts is set to 0. Its random initial weights, which the outer loop cannot
        change, would be noise in every task; starting from 0, the head after the first inner step is determined by the
        task's features and labels alone (the zeroing trick of Kao et al. 2022).
        """
        frozen = set(check_names(self.learner, freeze, "freeze")) if freeze else set()
        trainable = [parameter for name, parameter in self.learner.named_parameters() if name not in frozen]
        if not trainable:
            raise ValueError(f"{type(self.learner).__name__} has no parameter to learn: evaluate it without training")
        if not all(parameter.requires_grad for parameter in self.learner.parameters()):
            raise ValueError("a parameter of the learner does not require gradients: use `freeze` to exclude it")
        adapted = {id(leaf) for leaf in tree_leaves(self.learner.init())}
        heads = [getattr(module, HEAD, None) for module in self.learner.modules()]
        in_heads = {id(p) for head in heads if isinstance(head, nn.Module) for p in head.parameters()}
        with torch.no_grad():
            for name in frozen:
                parameter = self.learner.get_parameter(name)
                if id(parameter) in adapted & in_heads:
                    parameter.zero_()
        return trainable

    def _assign_gradient(self, gradients: Iterable[Tensor]) -> float:
        """Set the parameters' .grad and return the total norm. Raises FloatingPointError if it is not finite."""
        gradients = list(gradients)
        for parameter, gradient in zip(self.learner.parameters(), gradients, strict=True):
            parameter.grad = gradient
        norm = float(torch.nn.utils.get_total_norm(gradients))
        require_finite("the meta-gradient", norm)
        return norm


def check_decay(lr: float, lr_end: float, iterations: int | None) -> None:
    """Raise ValueError if the outer learning rate would increase, or if the number of updates is not given."""
    if iterations is None:
        raise ValueError(f"lr_end is {lr_end}: give iterations, the number of updates until it is reached")
    if lr_end > lr:
        raise ValueError(f"lr_end is {lr_end}, more than lr, {lr}: give 0 ≤ lr_end ≤ lr")


class Inner(Protocol):
    """A learner, or the settings of one."""

    @property
    def steps(self) -> int: ...


def check_steps(step_weights: Sequence[float], learner: Inner) -> None:
    """Raise ValueError unless there is one weight for each inner step of the learner, and at least one is above 0."""
    check_weights(step_weights, "step_weights")
    if len(step_weights) != learner.steps:
        raise ValueError(
            f"step_weights has {len(step_weights)} entries for {learner.steps} inner steps: give one for each"
        )


def require_finite(what: str, value: float) -> None:
    """Raise FloatingPointError, before the parameters are changed, unless `value` is finite."""
    if not torch.isfinite(torch.tensor(value)):
        raise FloatingPointError(
            f"{what} is {value}: this step was not taken. Train with a smaller inner or outer learning rate; "
            "earlier checkpoints are not affected"
        )
