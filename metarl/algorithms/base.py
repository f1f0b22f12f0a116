"""What every outer loop is: an update of a learner's meta-parameters from collected episodes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import Parameter

from metarl.core import Episodes, Learner, Tree


class Divergence(Protocol):
    """How far one task's new outputs are from its old ones on a batch: 0 and flat where they are equal."""

    def __call__(self, new: Tree, old: Tree, batch: Any) -> Tensor: ...


class Algorithm(ABC):
    """An outer loop over `learner`. `uses_query` is False where the update asks for support batches only."""

    uses_query = True

    def __init__(self, learner: Learner, *, chunk: int | None = None) -> None:
        """`chunk` is the number of tasks differentiated at a time: less memory, the same result."""
        if chunk is not None and chunk < 1:
            raise ValueError(f"chunk is {chunk}: give a positive number of tasks, or None for all at once")
        self.learner, self.chunk = learner, chunk

    @abstractmethod
    def update(self, episodes: Episodes) -> dict[str, float]:
        """Change the learner's parameters in place; returns metrics for the log."""

    def state_dict(self) -> dict[str, Any]:
        """What the outer loop remembers between updates."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: B027  (most remember nothing)
        """Restore `state_dict`."""

    def _moved(self, fixed: str) -> list[Parameter]:
        """The learner's parameters but those whose name starts with `fixed`. Raises ValueError where none does."""
        moved = [p for name, p in self.learner.named_parameters() if not fixed or not name.startswith(fixed)]
        if fixed and len(moved) == len(list(self.learner.parameters())):
            known = ", ".join(name for name, _ in self.learner.named_parameters())
            raise ValueError(f"fixed is {fixed!r}, but no parameter's name starts so: the learner has {known}")
        return moved

    def _assign_gradient(self, gradients: Iterable[Tensor]) -> float:
        """Make `gradients` the parameters' .grad; returns their joint norm. Raises FloatingPointError if not finite."""
        for parameter, gradient in zip(self.learner.parameters(), gradients, strict=True):
            parameter.grad = gradient
        norm = float(torch.nn.utils.get_total_norm([p.grad for p in self.learner.parameters() if p.grad is not None]))
        require_finite("the meta-gradient", norm)
        return norm


def require_finite(what: str, value: float) -> None:
    """Raise FloatingPointError unless `value` is finite, before it reaches the parameters."""
    if not torch.isfinite(torch.tensor(value)):
        raise FloatingPointError(
            f"{what} is {value}: this step was not taken. Train with a smaller inner or outer step size; "
            "checkpoints written before are whole"
        )
