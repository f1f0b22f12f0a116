"""Inner loops whose steps are recomputed in the backward pass, so that memory grows with the root of their number.

An ordinary meta-gradient keeps the graph of every inner step until the backward pass. Here n inner steps are cut into
about √n segments of about √n steps. The forward pass keeps only the states between segments. The backward pass
recomputes one segment at a time, with its graph, and differentiates it (Chen et al. 2016, arXiv 1604.06174, section
4.1).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.utils._pytree import TreeSpec, tree_flatten, tree_map, tree_unflatten

from metarl.trees import Tree, count_tasks

if TYPE_CHECKING:
    from metarl.core import Episodes, Learner


def rematerialised_forward(learner: Learner, episodes: Episodes, objective: Callable[..., Tree]) -> Tree:
    """`Learner.batched_forward` with memory that grows with the root of the number of inner steps.

    The states after those steps whose predictions the objective uses are kept, too; for `final`, this is only the last
    state. Raises ValueError for an inner loop that draws random numbers, which would differ in the recomputation.
    """
    count, steps = count_tasks(episodes), len(episodes.support)
    start = tree_map(lambda leaf: leaf.expand(count, *leaf.shape), learner.init())
    used = sorted({*_used_steps(learner, episodes, objective, start), steps})
    states, state = {0: start}, start
    parameters = {f"learner.{name}": parameter for name, parameter in learner.named_parameters()}
    for first, last in pairwise(_boundaries(steps)):
        wanted = [k for k in used if first < k < last]
        run = partial(_segment, learner, first=first, wanted=wanted)
        *between, state = _Segment.of(run, (parameters, state, episodes.support[first:last]))
        states |= {**dict(zip(wanted, between, strict=True)), last: state}

    def evaluate(kept: list[Tree], episode: Episodes) -> Tree:
        found = dict(zip(used, kept, strict=True))
        return objective([partial(learner.predict, found.get(k)) for k in range(steps + 1)], episode)

    return vmap(evaluate, randomness="different")([states[k] for k in used], episodes)


def _boundaries(steps: int) -> list[int]:
    """The ends of about √`steps` segments, 0, …, `steps`. The lengths of segments differ by at most 1."""
    segments = math.isqrt(max(steps - 1, 0)) + 1
    return [steps * i // segments for i in range(segments + 1)] if steps else [0]


def _used_steps(learner: Learner, episodes: Episodes, objective: Callable[..., Tree], start: Tree) -> set[int]:
    """The numbers of steps after which the objective predicts, found by evaluating it on the first task."""
    used: set[int] = set()

    def predict(state: Tree, k: int, x: Tree) -> Tree:
        used.add(k)
        return learner.predict(state, x)

    def probe(state: Tree, episode: Episodes) -> Tree:
        return objective([partial(predict, state, k) for k in range(len(episode.support) + 1)], episode)

    with torch.no_grad():
        vmap(probe, randomness="different")(*tree_map(lambda leaf: leaf[:1], (start, episodes)))
    return used


def _segment(
    learner: Learner, parameters: dict[str, Tensor], state: Tree, support: Sequence[Tree], *, first: int,
    wanted: Sequence[int],
) -> list[Tree]:  # fmt: skip
    """The states after the `wanted` steps and after the last one; `support` begins with the batch of step `first`."""

    def steps() -> list[Tree]:
        between, now = [], state
        for k, batch in enumerate(support, first):
            now = learner.batched_step(now, batch, k)
            if k + 1 in wanted:
                between.append(now)
        return [*between, now]

    found: list[Tree] = functional_call(Call(learner, steps), parameters, ())
    return found


class Call(nn.Module):
    """A function as the forward pass of a module that contains `learner`, for `torch.func.functional_call`.

    The names of the learner's parameters then begin with "learner.".
    """

    def __init__(self, learner: Learner, function: Callable[..., Any]) -> None:
        super().__init__()
        self.learner, self.function = learner, function

    def forward(self, *arguments: Any) -> Any:
        return self.function(*arguments)


class _Segment(torch.autograd.Function):
    """A function of trees of tensors that keeps only its inputs and recomputes itself in the backward pass."""

    @staticmethod
    def of(run: Callable[..., list[Tree]], inputs: tuple[Tree, ...]) -> list[Tree]:
        """`run(*inputs)`, a list of trees."""
        leaves, spec = tree_flatten(inputs)
        structure: list[TreeSpec] = []
        outputs = _Segment.apply(run, spec, structure, *leaves)
        found: list[Tree] = tree_unflatten(list(outputs), structure[0])
        return found

    @staticmethod
    def forward(
        ctx: Any, run: Callable[..., list[Tree]], spec: TreeSpec, structure: list[TreeSpec], *leaves: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.run, ctx.spec = run, spec
        ctx.save_for_backward(*leaves)
        before = torch.get_rng_state()
        outputs, found = tree_flatten(run(*tree_unflatten(list(leaves), spec)))
        if not torch.equal(before, torch.get_rng_state()):
            raise ValueError("the inner loop draws random numbers, so it cannot be recomputed: set rematerialise=False")
        structure.append(found)
        return tuple(outputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        again = torch.is_grad_enabled()  # for derivatives of this derivative
        with torch.enable_grad():
            leaves = [
                leaf.view_as(leaf) if again or not needed else leaf.detach().requires_grad_()
                for leaf, needed in zip(ctx.saved_tensors, ctx.needs_input_grad[3:], strict=True)
            ]
            outputs, _ = tree_flatten(ctx.run(*tree_unflatten(leaves, ctx.spec)))
            pairs = [pair for pair in zip(outputs, gradients, strict=True) if pair[0].requires_grad]
            inputs = [leaf for leaf, needed in zip(leaves, ctx.needs_input_grad[3:], strict=True) if needed]
            found = iter(torch.autograd.grad(
                [output for output, _ in pairs], inputs, [gradient for _, gradient in pairs], create_graph=again,
                allow_unused=True,
            ))  # fmt: skip
        return None, None, None, *(next(found) if needed else None for needed in ctx.needs_input_grad[3:])
