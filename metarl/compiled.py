"""Meta-gradients by `torch.compile`, which is faster for small nets, whose time is mostly spent in calls."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Hashable
from functools import partial
from types import FunctionType
from typing import Any, Literal

import torch
from torch import Tensor
from torch.func import functional_call, grad_and_value
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

from metarl.adaptable import check_second_derivatives
from metarl.core import Episodes, Learner, Objective, meta_gradient
from metarl.distributed import alone
from metarl.learners.gradient import GradientLearner
from metarl.parts import lock, split, split_weighted
from metarl.ranges import Count
from metarl.rematerialise import Call
from metarl.run.display import notify
from metarl.sums import one_number, sum_gradients, sum_numbers
from metarl.train import MetaTraining
from metarl.trees import count_tasks

Mode = Literal["auto", "on", "off"]
"""Whether meta-gradients are compiled: "on", "off", or "auto", for runs of at least `MIN_ITERATIONS`."""
MIN_ITERATIONS = 20_000  # number of iterations from which "auto" compiles
TOLERANCE = 1e-4  # maximum difference from the gradient without compilation, relative to its length
CACHE = "TORCHINDUCTOR_CACHE_DIR"  # the environment variable for the folder in which torch stores compiled code

Function = Callable[[dict[str, Tensor], Tensor, Episodes], tuple[dict[str, Tensor], Tensor]]


def compile_training(training: object, mode: Mode) -> None:
    """Compile the meta-gradient of `training` according to `mode`; "auto" depends only on the settings.

    "off" is the default of `fit` and of the command line: compilation takes from half a minute to several minutes, it
    needs a C++ compiler, and sums are added in another order, so that results differ from those without it by rounding.
    Raises ValueError for mode "on" and a training that cannot be compiled.
    """
    if mode == "off":
        return
    reason = _obstacle(training)
    if mode == "on" and reason:
        raise ValueError(f"compile is 'on', but {reason}: give compile 'off'")
    if not reason and isinstance(training, MetaTraining) and (mode == "on" or training.iterations >= MIN_ITERATIONS):
        training.algorithm.meta_gradient = CompiledGradient()


def _obstacle(training: object) -> str:
    """Why the meta-gradient of `training` cannot be compiled; "" if it can."""
    if not isinstance(training, MetaTraining) or not training.algorithm.compilable:
        kind = type(training.algorithm if isinstance(training, MetaTraining) else training).__name__
        return f"the gradient of {kind} cannot be compiled"
    learner = training.learner
    if learner.rematerialise:
        return "rematerialise is True, which compiled inner steps do not support"
    if isinstance(learner, GradientLearner) and not learner.first_order:
        try:
            check_second_derivatives(learner)
        except ValueError as error:
            return str(error).partition(", which")[0]
    return ""


class CompiledGradient:
    """`metarl.core.meta_gradient` with the same arguments and results, compiled when it is first called.

    The compiled function is `torch.func.grad_and_value` of `Learner.batched_forward`, even if the learner overrides it
    by a faster method. It is compiled for each objective and each shape of the episodes; the numbers in an objective
    that is a `functools.partial`, such as the weights of `multi_step`, may change without another compilation. torch
    stores compiled code in the folder TORCHINDUCTOR_CACHE_DIR, by default among temporary files, so that further runs
    start within seconds. Tasks are computed in parts of `chunk` tasks, one part after the other.

    The first gradient of each shape is also computed without compilation. If the two differ, or if compilation fails,
    as it does without a C++ compiler, a line on stderr says so, and gradients are no longer compiled.
    """

    def __init__(self, *, backend: str = "inductor") -> None:
        self.backend, self.failed = backend, False
        self._functions: dict[Hashable, Function] = {}
        self._compared: set[Hashable] = set()

    def __call__(
        self, learner: Learner, episodes: Episodes, objective: Objective, *, chunk: Count | None = None
    ) -> tuple[float, list[Tensor]]:
        numbered = _Numbered(objective)
        if not self.failed:
            self._compare(learner, episodes, numbered, chunk)
        if self.failed:
            return meta_gradient(learner, episodes, objective, chunk=chunk)
        with lock(learner):
            done = [(weight, *self._part(learner, part, numbered)) for part, weight in split_weighted(episodes, chunk)]
        found = [[weight * gradient for gradient in gradients] for weight, _, gradients in done]
        gradients = sum_gradients(found, found[0])
        return sum_numbers([weight * float(loss) for weight, loss, _ in done]), gradients

    def _compare(self, learner: Learner, episodes: Episodes, objective: _Numbered, chunk: int | None) -> None:
        """Compile for episodes of new shapes, and compare the results with those of `meta_gradient`."""
        key = (objective.key, chunk, *((leaf.shape, leaf.dtype) for leaf in tree_leaves(episodes)))
        if key in self._compared:
            return
        self._compared.add(key)
        parts = {count_tasks(part): part for part in split(episodes, chunk)}  # one of each size
        for part in parts.values():
            with alone():
                _, gradients = meta_gradient(learner, part, objective.whole)  # raises for episodes that do not fit
            expected, begin = _vector(gradients), time.perf_counter()
            try:
                with lock(learner):
                    error = float((_vector(self._part(learner, part, objective)[1]) - expected).norm())
            except Exception as failure:  # whatever torch's compiler raises
                reason = (str(failure).strip() or type(failure).__name__).splitlines()[0]
                return self._give_up(f"torch cannot compile it ({reason})")
            if not error <= TOLERANCE * float(expected.norm()):
                return self._give_up("the compiled gradient is different")
            stored = os.environ.get(CACHE, "memory only")
            notify(f"compiled the meta-gradient in {time.perf_counter() - begin:.0f} s; stored in {stored}")

    def _give_up(self, reason: str) -> None:
        self.failed = True
        notify(f"warning: the meta-gradient is not compiled: {reason}")

    def _part(self, learner: Learner, part: Episodes, objective: _Numbered) -> tuple[Tensor, list[Tensor]]:
        """The mean of the objective over the tasks of `part`, and its gradient."""
        if objective.key not in self._functions:
            self._functions[objective.key] = _compiled(learner, objective, self.backend)
        parameters = {f"learner.{name}": parameter.detach() for name, parameter in learner.named_parameters()}
        with torch.no_grad():
            gradients, loss = self._functions[objective.key](parameters, objective.numbers, part)
        return loss, list(gradients.values())


def _compiled(learner: Learner, objective: _Numbered, backend: str) -> Function:
    def mean(numbers: Tensor, episodes: Episodes) -> Tensor:
        def scalar(*arguments: Any) -> Tensor:
            return one_number(objective.with_numbers(numbers)(*arguments), "the objective")

        losses: Tensor = Learner.batched_forward(learner, episodes, scalar)
        return losses.mean()

    module = Call(learner, mean)

    def loss(parameters: dict[str, Tensor], numbers: Tensor, episodes: Episodes) -> Tensor:
        result: Tensor = functional_call(module, parameters, (numbers, episodes))
        return result

    def function(parameters: dict[str, Tensor], numbers: Tensor, episodes: Episodes) -> Any:
        return grad_and_value(loss)(parameters, numbers, episodes)

    # torch stores at most eight compiled forms with a code object, which all functions made here would share
    own = FunctionType(function.__code__.replace(), globals(), closure=function.__closure__)
    result: Function = torch.compile(own, backend=backend, dynamic=False, fullgraph=True)
    return result


class _Numbered:
    """An objective as a function of its floating-point arguments, if it is a `functools.partial`."""

    def __init__(self, objective: Objective) -> None:
        self.whole = objective
        self.function = objective.func if isinstance(objective, partial) else objective
        arguments = (objective.args, objective.keywords) if isinstance(objective, partial) else ((), {})
        self.leaves, self.spec = tree_flatten(arguments)
        self.where = [i for i, leaf in enumerate(self.leaves) if isinstance(leaf, float)]
        self.numbers = torch.tensor([self.leaves[i] for i in self.where], dtype=torch.float64)
        others = tuple(leaf for i, leaf in enumerate(self.leaves) if i not in self.where)
        self.key: Hashable = (self.function, str(self.spec), tuple(self.where), others)

    def with_numbers(self, numbers: Tensor) -> Callable[..., Tensor]:
        """The objective with other `numbers`, a vector."""
        leaves: list[Any] = list(self.leaves)
        for i, where in enumerate(self.where):
            leaves[where] = numbers[i]
        args, keywords = tree_unflatten(leaves, self.spec)
        return partial(self.function, *args, **keywords)


def _vector(gradients: list[Tensor]) -> Tensor:
    return torch.cat([gradient.flatten() for gradient in gradients])
