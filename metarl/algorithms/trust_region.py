"""Trust-region meta-update: MAML with TRPO as its outer loop (Finn et al. 2017, section 5.3; Schulman et al. 2015)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.func import vmap
from torch.nn import Parameter
from torch.nn.utils import parameters_to_vector, vector_to_parameters
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map, tree_unflatten

from metarl.algorithms.base import Algorithm, Divergence, require_finite
from metarl.core import Episodes, Learner, Loss, Predict, Tree, meta_gradient_and_outputs, split


class TrustRegion(Algorithm):
    """Minimise the post-adaptation loss subject to a mean divergence ≤ `max_kl` of the adapted learners.

    The natural-gradient direction comes from `cg_steps` of conjugate gradient on (Hessian of the divergence +
    `damping`); then a line search shrinks the step by `backtrack`, at most `backtracks` times, until the loss falls
    and the divergence bound holds on all the data. A search that finds nothing leaves the learner as it was.

    For policies `divergence` is the KL from the adapted policies that collected the query; for regression
    `squared_change`. Both are a loss on outputs, so the Hessian at the current parameters is JᵀHJ (J: outputs by
    meta-parameters, through the adaptation; H: Hessian by outputs), exactly.
    `curvature_every=n` computes these products on every n-th sample (time step) of each batch, n times cheaper; the
    curvature is then an estimate, but the gradient, the line search and the bound still use all the data.
    """

    def __init__(
        self,
        learner: Learner,
        loss: Loss,
        divergence: Divergence,
        *,
        max_kl: float = 0.01,
        cg_steps: int = 10,
        damping: float = 1e-5,
        backtrack: float = 0.8,
        backtracks: int = 15,
        curvature_every: int = 1,
        chunk: int | None = None,
    ) -> None:
        super().__init__(learner, chunk=chunk)
        if max_kl <= 0:
            raise ValueError(f"max_kl is {max_kl}: a trust region has a positive radius")
        if curvature_every < 1:
            raise ValueError(f"curvature_every is {curvature_every}: give 1 (all samples) or more")
        self.loss, self.divergence, self.max_kl = loss, divergence, max_kl
        self.cg_steps, self.damping, self.backtrack, self.backtracks = cg_steps, damping, backtrack, backtracks
        self.curvature_every = curvature_every

    def update(self, episodes: Episodes) -> dict[str, float]:
        parameters = list(self.learner.parameters())
        start = parameters_to_vector(parameters).detach().clone()
        before, gradients, old = meta_gradient_and_outputs(self.learner, episodes, self._loss, chunk=self.chunk)
        judged = episodes._replace(query=(episodes.query, old))
        gradient = torch.cat([g.flatten() for g in gradients])
        require_finite("the meta-gradient", float(gradient.norm()))

        every = self.curvature_every
        thinned = judged if every == 1 else self.judged(tree_map(lambda leaf: leaf[:, ::every], episodes))

        undamped = self.hessian_product(thinned)

        def product(vector: Tensor) -> Tensor:
            return undamped(vector) + self.damping * vector

        direction = conjugate_gradient(product, -gradient, steps=self.cg_steps)
        curvature = float(direction @ product(direction))
        metrics = {"loss": before, "gradient_norm": float(gradient.norm()), "kl": 0.0, "improvement": 0.0}
        if not (curvature > 0 and math.isfinite(curvature)):  # a zero gradient, or a degenerate curvature
            return {**metrics, "step_size": 0.0}
        step = direction * math.sqrt(2 * self.max_kl / curvature)
        for exponent in range(self.backtracks):
            scale = self.backtrack**exponent
            vector_to_parameters(start + scale * step, parameters)
            after, kl = self.evaluate(judged)
            if after < before and kl <= self.max_kl:
                return {**metrics, "kl": kl, "improvement": before - after, "step_size": scale}
        vector_to_parameters(start, parameters)
        return {**metrics, "step_size": 0.0}

    @torch.no_grad()
    def judged(self, episodes: Episodes) -> Episodes:
        """The episodes with (query, what the adapted learners now predict on it) for query."""
        old = self.learner(episodes, lambda predicts, ep: predicts[-1](ep.query[0]), chunk=self.chunk)
        return episodes._replace(query=(episodes.query, old))

    @torch.no_grad()
    def evaluate(self, judged: Episodes) -> tuple[float, float]:
        """Mean loss and mean divergence, at the learner's parameters, of `judged` episodes."""

        def judge(predicts: Sequence[Predict], episode: Episodes) -> tuple[Tensor, Tensor]:
            query, old = episode.query
            loss, new = self._loss(predicts, episode._replace(query=query))
            return loss, self.divergence(new, old, query)

        loss, kl = self.learner(judged, judge, chunk=self.chunk)
        return float(loss.mean()), float(kl.mean())

    def _loss(self, predicts: Sequence[Predict], episode: Episodes) -> tuple[Tensor, Tree]:
        """The query loss after the last inner step, and the outputs it was computed from, predicted once.

        A loss predicts on its batch's first field and on nothing else, as `metarl.core` defines it.
        """
        outputs = predicts[-1](episode.query[0])
        return self.loss(lambda _: outputs, episode.query), outputs

    def hessian_product(self, judged: Episodes) -> Callable[[Tensor], Tensor]:
        """The Hessian of the mean divergence at the current parameters, as a function of a flat vector, undamped.

        A product is three backward passes: J times the vector (Jᵀu by u, its adjoint), then H, then Jᵀ. The graphs of
        the outputs and of Jᵀu are built once and kept, unless that takes more memory than `chunk` tasks with all their
        samples do; then they are built anew for each product.
        """
        parameters = list(self.learner.parameters())
        sizes = [p.numel() for p in parameters]
        tasks = len(tree_leaves(judged)[0])
        keep = self.chunk is None or tasks <= self.chunk * self.curvature_every
        kept = self._product(judged, parameters) if keep else None

        def product(vector: Tensor) -> Tensor:
            pieces = [v.view_as(p) for v, p in zip(vector.split(sizes), parameters, strict=True)]
            if kept is not None:
                return kept(pieces)
            parts = split(judged, self.chunk)
            return torch.stack([share * self._product(part, parameters)(pieces) for part, share in parts]).sum(0)

        return product

    def _product(self, judged: Episodes, parameters: list[Parameter]) -> Callable[[list[Tensor]], Tensor]:
        query, old = judged.query
        outputs, spec = tree_flatten(self.learner(judged, lambda predicts, ep: predicts[-1](ep.query[0][0])))
        cotangent = [torch.zeros_like(leaf, requires_grad=True) for leaf in outputs]
        pulled = _grad(outputs, parameters, cotangent, create_graph=True)
        free = [leaf.detach().requires_grad_() for leaf in outputs]
        divergence = vmap(self.divergence)(tree_unflatten(free, spec), old, query).mean()
        slope = _grad([divergence], free, create_graph=True)

        def product(pieces: list[Tensor]) -> Tensor:
            change = _grad(pulled, cotangent, pieces)
            curved = _grad(slope, free, change)
            return torch.cat([g.flatten() for g in _grad(outputs, parameters, curved)])

        return product


def _grad(
    outputs: Sequence[Tensor],
    inputs: Sequence[Tensor],
    weights: Sequence[Tensor] | None = None,
    *,
    create_graph: bool = False,
) -> list[Tensor]:
    """∂⟨weights, outputs⟩/∂inputs with the graph kept; zeros for what the outputs do not depend on."""
    used = [k for k, out in enumerate(outputs) if out.requires_grad]
    return list(
        torch.autograd.grad(
            [outputs[k] for k in used], inputs, None if weights is None else [weights[k] for k in used],
            create_graph=create_graph, retain_graph=True, materialize_grads=True,
        )
    )  # fmt: skip


def conjugate_gradient(
    product: Callable[[Tensor], Tensor], target: Tensor, *, steps: int, tolerance: float = 1e-10
) -> Tensor:
    """Solve product(x) = target, both flat, from x = 0; stops early at a squared residual below `tolerance`."""
    x = torch.zeros_like(target)
    residual, direction = target.clone(), target.clone()
    squared = residual @ residual
    for _ in range(steps):
        if squared < tolerance:
            break
        curved = product(direction)
        length = squared / (direction @ curved)
        x += length * direction
        residual -= length * curved
        squared, previous = residual @ residual, squared
        direction = residual + (squared / previous) * direction
    return x
