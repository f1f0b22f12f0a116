"""The core: a learner adapts to the support of each task, and an objective evaluates the result on the task's query.

Every method is a function y = f(support, x). A *learner* is the inner loop, a *loss* is a function of predictions and a
batch, *tasks* provide the support and the query, and an *algorithm* (`metarl.algorithms`) is the outer loop. In
reinforcement learning the support and the query are collected with the learner's own predictions (the policy); in
supervised learning they are not. `collect` runs the inner loop once, without gradients, and records the batches;
`Learner.forward` then replays the adaptation on the recorded batches as a pure, differentiable function of the
meta-parameters, as often as an outer loop needs.

Axis 0 of every tensor in the episodes is the task, T. In reinforcement learning tensors are [T, H, N, feature]: tasks,
time steps, environments. A batch is a NamedTuple whose first field is the input of `predict`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import vmap
from torch.utils._pytree import tree_leaves, tree_map

from metarl.adaptable import check_layers
from metarl.adapted_net import AdaptedNet
from metarl.described import Described
from metarl.parts import concatenate, lock, map_parts, readable_errors, split, split_weighted
from metarl.predictor import Predictor as Predictor
from metarl.ranges import Count, Whole, checked
from metarl.rematerialise import rematerialised_forward
from metarl.sums import one_number, sum_gradients, sum_numbers
from metarl.trees import Tree, check_batch, count_tasks

Predict = Callable[[Any], Tree]
"""One task's adapted model: a function from inputs to outputs."""
Loss = Callable[[Predict, Any], Tensor]
"""A function (predict, batch) to a scalar tensor, for one task. It predicts on batch[0]."""


class Episodes(NamedTuple):
    """The support and query batches of a meta-batch of T tasks. Every leaf is [T, …]."""

    support: tuple[Tree, ...]  # one batch for each inner step
    query: Tree  # the batch on which the adapted learner is evaluated; () for outer loops that do not use it
    old: Tree = ()  # outputs from before an update, with which an objective compares; () where none does


Objective = Callable[[Sequence[Predict], Episodes], Tensor]
"""A function (predicts, episode) to a scalar tensor, for one task: `predicts[k]` is the model after k inner steps."""


def with_cached_output(predict: Predict, x: Tree, output: Tree) -> Predict:
    """`predict` with the output for `x` cached: it returns `output` for that very object and predicts anything else."""
    return lambda inputs: output if inputs is x else predict(inputs)


class Tasks(ABC):
    """A sampled meta-batch of `n` tasks. Supervised tasks ignore `predict`; RL tasks roll it out as the policy."""

    n: int

    @abstractmethod
    def support(self, predict: Predictor, step: int) -> Tree:
        """The batch [T, …] for inner step `step` (0, 1, …)."""

    @abstractmethod
    def query(self, predict: Predictor) -> Tree:
        """The batch [T, …] on which the adapted learner is evaluated."""

    @abstractmethod
    def score(self, predict: Predictor) -> Tensor:
        """The score of `predict` on each task, [T], in the distribution's `metric`."""

    def score_and_info(self, predict: Predictor) -> tuple[Tensor, dict[str, Tensor]]:
        """`score`, and what else was measured with it on each task, [T] each, by name: success, say."""
        return self.score(predict), {}

    def metrics(self, episodes: Episodes) -> dict[str, float]:
        """Metrics for the log that follow from the episodes alone, such as returns."""
        return {}

    def share(self, rows: slice) -> Tasks:
        """The tasks `rows`, for one of several processes: with the data that they have here; `metrics` are of all."""
        from metarl.sampling import Share

        return Share(self, rows)


class Distribution(Described, ABC):
    """A distribution over tasks."""

    metric: str  # "return", "accuracy" (more is better) or "loss" (less is better)

    @abstractmethod
    def sample(self, n: int, rng: np.random.Generator) -> Tasks:
        """Draw `n` tasks. All random numbers that the tasks use come from `rng`."""

    def memory(self, n: int) -> int:
        """A lower bound on the memory of a meta-batch of `n` tasks, in bytes; 0 if it is unknown."""
        return 0

    def set_progress(self, fraction: float) -> None:
        """Set the fraction of training that is done, before each iteration, for schedules; by default nothing."""


class Learner(Described, nn.Module, ABC):
    """An inner loop. Its Parameters are the meta-parameters; a state, one task's tree of tensors, is never mutated."""

    steps: int  # the number of inner steps in training
    gradient_steps: ClassVar[bool] = True  # False if one step reads the whole support, so that one is enough
    rematerialise: bool = False  # whether the backward pass computes inner steps again, which saves memory

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
        """The outputs for inputs `x` of one task in this state."""

    def module(self, state: Tree) -> nn.Module:
        """A module that maps inputs [n, …] of one task to the predictions of this learner in `state`."""
        return AdaptedNet(self, state)

    def states(self, support: Sequence[Tree]) -> list[Tree]:
        """The states of one task before and after each inner step."""
        states = [self.init()]
        for k, batch in enumerate(support):
            states.append(self.step(states[-1], batch, k))
        return states

    @checked
    def forward(self, episodes: Episodes, objective: Callable[..., Tree], *, chunk: Count | None = None) -> Tree:
        """Replay the adaptation of every task and return the `objective` of each: a tree of [T, …].

        `chunk` bounds the number of tasks that are computed at a time; the parts run on torch's threads.
        """

        def part(learner: Learner, part: Episodes) -> Tree:
            return learner.batched_forward(part, objective)

        return concatenate(map_parts(part, self, split(episodes, chunk)))

    def batched_forward(self, episodes: Episodes, objective: Callable[..., Tree]) -> Tree:
        """`forward` without chunks: all tasks at once under vmap. Override it where there is a faster way."""
        if self.rematerialise:
            return rematerialised_forward(self, episodes, objective)

        def one(episode: Episodes) -> Tree:
            predicts = [partial(self.predict, state) for state in self.states(episode.support)]
            return objective(predicts, episode)

        return vmap(one, randomness="different")(episodes)

    def batched_step(self, states: Tree, batch: Tree, k: int) -> Tree:
        """`step` for all tasks at once: the states after inner step `k`. Override it with `batched_forward`."""
        return vmap(partial(self.step, k=k), randomness="different")(states, batch)

    @property
    def in_numpy(self) -> bool:
        """Whether `arrays` computes in NumPy alone, which threads can do at the same time."""
        return False

    def arrays(self, states: Tree) -> Callable[[np.ndarray], Tree]:
        """`predict` for T stacked states as a function of NumPy arrays [T, N, x]. Override it where NumPy is faster."""
        device = next(iter([*self.parameters(), *tree_leaves(states), torch.empty(0)])).device

        def predict(x: np.ndarray) -> Tree:
            with lock(self), readable_errors(self, x), torch.no_grad():
                inputs = torch.from_numpy(x).to(device)
                count_tasks((inputs, states), "inputs and states")
                outputs = vmap(self.predict)(states, inputs)
            return tree_map(lambda t: t.cpu().numpy(), outputs)

        return predict


@checked
def adapt(
    learner: Learner, tasks: Tasks, *, steps: Whole, chunk: Count | None = None
) -> Iterator[tuple[Predictor, Tree | None]]:
    """Adapt to every task for `steps` inner steps, without building a graph for meta-gradients.

    Yields pairs: the predictor after k steps and the support batch of step k, for k = 0 … steps − 1; then the last
    predictor and None. Raises ValueError for a batch with a different number of tasks or with numbers that are not
    finite.
    """
    predict = Predictor(
        learner, lambda: tree_map(lambda p: p.detach().expand(tasks.n, *p.shape), learner.init()), chunk=chunk
    )
    for k in range(steps):
        with torch.no_grad():
            batch = tasks.support(predict, k)
        check_batch(batch, f"the support of inner step {k}", tasks=tasks.n, finite=not predict.used)
        yield predict, batch
        predict = predict.after(batch, k)
    yield predict, None


@checked
def collect(learner: Learner, tasks: Tasks, *, query: bool = True, chunk: Count | None = None) -> Episodes:
    """Run the learner's inner loop on `tasks`, without gradients, and record the support and query batches.

    `query=False` leaves out the query, for outer loops that do not use it.
    """
    *steps, (last, _) = adapt(learner, tasks, steps=learner.steps, chunk=chunk)
    with torch.no_grad():
        episodes = Episodes(tuple(batch for _, batch in steps), tasks.query(last) if query else ())
    if query:
        check_batch(episodes.query, "the query", tasks=tasks.n, finite=not last.used)
    return episodes


@checked
def meta_gradient(
    learner: Learner, episodes: Episodes, objective: Objective, *, chunk: Count | None = None
) -> tuple[float, list[Tensor]]:
    """The mean of `objective` over the tasks and its gradient with respect to each of the learner's parameters.

    With `chunk`, gradients are computed for that many tasks at a time and summed, which bounds the memory.
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
    """`meta_gradient` for an objective that returns (loss, outputs). Also returns the outputs, a tree of [T, …]."""
    with lock(learner):
        parameters = list(learner.parameters())

    def scalar(*arguments: Any) -> tuple[Tensor, Tree]:
        loss, outputs = objective(*arguments)
        return one_number(loss, "the objective"), outputs

    def part(learner: Learner, part_and_weight: tuple[Episodes, float]) -> tuple[float, Sequence[Tensor | None], Tree]:
        part, weight = part_and_weight
        losses, outputs = learner.batched_forward(part, scalar)
        loss = weight * losses.mean()
        found = torch.autograd.grad(loss, parameters, allow_unused=True)
        return loss.item(), found, tree_map(torch.detach, outputs)

    done = map_parts(part, learner, split_weighted(episodes, chunk))
    gradients = sum_gradients((found for _, found, _ in done), parameters)
    return sum_numbers([loss for loss, _, _ in done]), gradients, concatenate([outputs for _, _, outputs in done])
