"""The core: a learner adapts to the support of each task and is judged, by an objective, on its query.

Every method of the field answers one equation, y = f(support, x). A *learner* is the inner loop, a *loss* never sees
parameters, *tasks* hand out support and query, and an *algorithm* (metarl.algorithms) is the outer loop. That a task's
support may be made with the learner's own predictions is the whole difference between supervised and reinforcement
learning here: `collect` lets that happen once, without gradients; `Learner.forward` then replays the adaptation as a
pure, differentiable function of the meta-parameters, as often as an outer loop needs.

Axis 0 of every tensor in an episode is the task, T; in reinforcement learning the order is [T, H, N, feature]: tasks,
time, environments. A batch is a NamedTuple whose first field is what `predict` takes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import vmap
from torch.utils._pytree import tree_leaves, tree_map

from metarl.adaptable import check_layers
from metarl.described import Described
from metarl.parts import fitting, joined, lock, over_parts, split
from metarl.ranges import Count, Whole, checked
from metarl.sums import one_number
from metarl.trees import Tree, check_batch, count

Predict = Callable[[Any], Tree]
Loss = Callable[[Predict, Any], Tensor]  # (predict, batch) to a scalar; it predicts on batch[0]


class Episodes(NamedTuple):
    """What a meta-batch of T tasks showed a learner; every leaf is [T, …]."""

    support: tuple[Tree, ...]  # one batch for each inner step
    query: Tree  # the batch that judges the adapted learner; () for outer loops that do not ask for it


Objective = Callable[[Sequence[Predict], Episodes], Tensor]


def with_output(predict: Predict, x: Tree, output: Tree) -> Predict:
    """`predict`, which has said `output` of `x` before: of that very object it says it again, and of all else anew."""
    return lambda asked: output if asked is x else predict(asked)


class Predictor:
    """The predictions of T tasks, each with its own adapted state: x [T, …] to outputs [T, …].

    States are computed when first asked for: supervised tasks, which ignore the predictor, never pay for them.
    """

    def __init__(self, learner: Learner, make_states: Callable[[], Tree], *, chunk: int | None = None) -> None:
        self.learner, self._make_states, self.chunk = learner, make_states, chunk

    @cached_property
    def states(self) -> Tree:
        """The adapted states, stacked: every leaf is [T, …]."""
        with lock(self.learner), torch.no_grad():
            return self._make_states()

    @property
    def asked(self) -> bool:
        """Whether anything was predicted: what tasks then show may follow from it, and be infinite as it is."""
        return "states" in self.__dict__

    def __call__(self, x: Tree) -> Tree:
        count((x, self.states), "inputs and states")
        with lock(self.learner), fitting(self.learner, x):
            return vmap(self.learner.predict, chunk_size=self.chunk)(self.states, x)

    def arrays(self, tasks: slice | None = None) -> Callable[[np.ndarray], Tree]:
        """The same function from a float32 NumPy array [T, N, x] to NumPy arrays, of all tasks or of these.

        It is what a simulator calls. Several threads compute at once where the learner is `in_numpy`.
        """
        states = self.states if tasks is None else tree_map(lambda leaf: leaf[tasks], self.states)
        with lock(self.learner):
            return self.learner.arrays(states)

    def after(self, batch: Tree, k: int) -> Predictor:
        """The predictor after inner step `k` on a support batch [T, …]."""

        def part(learner: Learner, part: tuple[Tree, Tree]) -> Tree:
            batch, states = part
            return vmap(partial(learner.step, k=k), randomness="different")(states, batch)

        def make_states() -> Tree:
            parts = [part for part, _ in split((batch, self.states), self.chunk)]
            return joined(over_parts(part, self.learner, parts))

        return Predictor(self.learner, make_states, chunk=self.chunk)


class Tasks(ABC):
    """A sampled meta-batch of `n` tasks. Supervised tasks ignore `predict`; locomotion tasks roll it out."""

    n: int

    @abstractmethod
    def support(self, predict: Predictor, step: int) -> Tree:
        """The batch [T, …] for inner step `step` (0, 1, …)."""

    @abstractmethod
    def query(self, predict: Predictor) -> Tree:
        """The batch [T, …] that judges the adapted learner."""

    @abstractmethod
    def score(self, predict: Predictor) -> Tensor:
        """How good `predict` is on each task, [T], in the distribution's `metric`."""

    def metrics(self, episodes: Episodes) -> dict[str, float]:
        """What the episodes alone tell about progress, for the log."""
        return {}


class Distribution(Described, ABC):
    """A distribution over tasks."""

    metric: str  # "return", "accuracy" (more is better) or "loss" (less is better)

    @abstractmethod
    def sample(self, n: int, rng: np.random.Generator) -> Tasks:
        """Draw `n` tasks; every random number they will use comes from `rng`."""

    def memory(self, n: int) -> int:
        """The bytes that a meta-batch of `n` tasks needs at least; 0 where it is not known."""
        return 0

    def progress(self, share: float) -> None:
        """Told before every training iteration what share of them, 0 … 1, is done; for what changes on the way."""


class Learner(Described, nn.Module, ABC):
    """The inner loop. Its Parameters are the meta-parameters; a state is one task's tree of tensors, never mutated."""

    steps: int  # inner steps in training
    gradient_steps: ClassVar[bool] = True  # False: one step reads the whole support, and more are not of interest

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, nn.Module):  # a net: raises ValueError for a layer that cannot be adapted
            check_layers(value)
        super().__setattr__(name, value)

    @abstractmethod
    def init(self) -> Tree:
        """The state before adaptation."""

    @abstractmethod
    def step(self, state: Tree, batch: Tree, k: int) -> Tree:
        """The state after inner step `k` (0, 1, …) on one task's support batch."""

    @abstractmethod
    def predict(self, state: Tree, x: Tree) -> Tree:
        """Outputs for inputs `x` of one task."""

    def states(self, support: Sequence[Tree]) -> list[Tree]:
        """The states of one task before and after each inner step."""
        states = [self.init()]
        for k, batch in enumerate(support):
            states.append(self.step(states[-1], batch, k))
        return states

    @checked
    def forward(self, episodes: Episodes, objective: Callable[..., Tree], *, chunk: Count | None = None) -> Tree:
        """Replay the adaptation of every task and apply `objective` to its predictors: a tree of [T, …].

        `chunk` bounds how many tasks are computed at a time; the parts are spread over torch's threads.
        """

        def part(learner: Learner, part: Episodes) -> Tree:
            return learner.together(part, objective)

        return joined(over_parts(part, self, [part for part, _ in split(episodes, chunk)]))

    def together(self, episodes: Episodes, objective: Callable[..., Tree]) -> Tree:
        """`forward` of all the tasks at once."""

        def one(episode: Episodes) -> Tree:
            predicts = [partial(self.predict, state) for state in self.states(episode.support)]
            return objective(predicts, episode)

        return vmap(one, randomness="different")(episodes)

    @property
    def in_numpy(self) -> bool:
        """Whether `arrays` computes in NumPy alone."""
        return False

    def arrays(self, states: Tree) -> Callable[[np.ndarray], Tree]:
        """`predict` for T stacked states, as a function of NumPy arrays [T, N, x]; override where NumPy is faster."""
        device = next(iter([*self.parameters(), *tree_leaves(states), torch.empty(0)])).device

        def predict(x: np.ndarray) -> Tree:
            with lock(self), fitting(self, x), torch.no_grad():
                inputs = torch.from_numpy(x).to(device)
                count((inputs, states), "inputs and states")
                outputs = vmap(self.predict)(states, inputs)
            return tree_map(lambda t: t.cpu().numpy(), outputs)

        return predict


@checked
def adapt(
    learner: Learner, tasks: Tasks, *, steps: Whole, chunk: Count | None = None
) -> Iterator[tuple[Predictor, Tree | None]]:
    """Adapt to every task for `steps` inner steps, without a gradient graph.

    Yields the predictor after k steps with the support batch of step k, for k = 0 … steps − 1; then the last
    predictor with None. Raises ValueError for a batch of another number of tasks, or of numbers that are not finite.
    """
    predict = Predictor(
        learner, lambda: tree_map(lambda p: p.detach().expand(tasks.n, *p.shape), learner.init()), chunk=chunk
    )
    for k in range(steps):
        with torch.no_grad():
            batch = tasks.support(predict, k)
        check_batch(batch, f"the support of inner step {k}", tasks=tasks.n, finite=not predict.asked)
        yield predict, batch
        predict = predict.after(batch, k)
    yield predict, None


@checked
def collect(learner: Learner, tasks: Tasks, *, query: bool = True, chunk: Count | None = None) -> Episodes:
    """Run the learner's inner loop on `tasks` for real and record what it saw."""
    *steps, (last, _) = adapt(learner, tasks, steps=learner.steps, chunk=chunk)
    with torch.no_grad():
        episodes = Episodes(tuple(batch for _, batch in steps), tasks.query(last) if query else ())
    if query:
        check_batch(episodes.query, "the query", tasks=tasks.n, finite=not last.asked)
    return episodes


@checked
def meta_gradient(
    learner: Learner, episodes: Episodes, objective: Objective, *, chunk: Count | None = None
) -> tuple[float, list[Tensor]]:
    """The mean of `objective` over the tasks, and its gradient by each of the learner's parameters.

    With `chunk`, the gradients of that many tasks at a time are summed: memory follows `chunk`, not the meta-batch.
    """
    loss, gradients, _ = meta_gradient_and_outputs(learner, episodes, lambda *a: (objective(*a), ()), chunk=chunk)
    return loss, gradients


@checked
def meta_gradient_and_outputs(
    learner: Learner,
    episodes: Episodes,
    objective: Callable[[Sequence[Predict], Episodes], tuple[Tensor, Tree]],
    *,
    chunk: Count | None = None,
) -> tuple[float, list[Tensor], Tree]:
    """`meta_gradient` for an objective that returns (loss, outputs); also returns the outputs, leaves [T, …]."""
    with lock(learner):
        parameters = list(learner.parameters())

    def scalar(*arguments: Any) -> tuple[Tensor, Tree]:
        loss, outputs = objective(*arguments)
        return one_number(loss, "the objective"), outputs

    def part(learner: Learner, part_and_share: tuple[Episodes, float]) -> tuple[float, Sequence[Tensor | None], Tree]:
        part, share = part_and_share
        losses, outputs = learner.together(part, scalar)
        loss = share * losses.mean()
        found = torch.autograd.grad(loss, parameters, allow_unused=True)
        return loss.item(), found, tree_map(torch.detach, outputs)

    done = over_parts(part, learner, list(split(episodes, chunk)))
    gradients = [torch.zeros_like(p) for p in parameters]
    for _, found, _ in done:
        for sum_, grad in zip(gradients, found, strict=True):
            if grad is not None:
                sum_.add_(grad)
    return sum(loss for loss, _, _ in done), gradients, joined([outputs for _, _, outputs in done])
