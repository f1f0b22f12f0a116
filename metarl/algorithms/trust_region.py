"""TRPO as the outer loop of MAML (Schulman et al. 2015; Finn et al. 2017, section 5.3)."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from typing import Annotated

import torch
from torch import Tensor
from torch.func import vmap
from torch.nn import Parameter
from torch.nn.utils import parameters_to_vector
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from metarl.algorithms.base import Algorithm, Divergence, check_steps, exclusive, require_finite
from metarl.core import Episodes, Learner, Loss, Predict, Tree, meta_gradient_and_outputs, with_cached_output
from metarl.distributed import of_all_tasks
from metarl.objectives import learner_loss
from metarl.parts import map_parts, split_weighted
from metarl.ranges import Count, NonNegative, Positive, Range, checked
from metarl.rl.losses import mean_kl
from metarl.sums import sum_tensors, weighted
from metarl.vectors import conjugate_gradient, flatten, inner, unflatten

log = logging.getLogger(__name__)
TOLERANCE = 1e-10  # the squared norm of the residual at which conjugate gradient stops
PATIENCE = 5  # the number of consecutive failures of the line search before a warning


class TRPO(Algorithm):
    """Minimise the loss after adaptation under a bound `max_kl` on the mean divergence of the adapted learners.

    The direction of the natural gradient is computed by `cg_steps` of conjugate gradient on the Hessian of the
    divergence plus `damping`. A line search then shortens the step by the factor `backtrack`, at most `backtracks`
    times, until the loss decreases and the bound holds on all the data. If it fails, the learner is unchanged; after
    `PATIENCE` consecutive failures a warning names remedies. A divergence without curvature, such as one that is linear
    in the outputs, raises FloatingPointError.

    The default loss is the learner's own, and the default divergence the KL from the adapted policies that collected
    the query; for regression, use `squared_change`. As a divergence is a function of outputs with a minimum at the
    current ones, its Hessian is exactly JᵀHJ, with J the Jacobian of the outputs with respect to the meta-parameters,
    through the adaptation, and H the Hessian with respect to the outputs.

    `curvature_every=(s, q)` computes Hessian products on every s-th sample (time step) of the support batches and every
    q-th of the query; the gradient, the line search and the bound still use all the data. The query can be thinned
    strongly, the support less so, because the noise in the Hessian of the inner loss enters squared and adds spurious
    curvature. With the MAML paper's meta-batches, (6, 15) makes an iteration 2.9 times as fast as (1, 1), and at the
    same divergence the step reduces the loss by 4, 10 and 15 % less at iterations 1, 6 and 15 of one run.

    The graph of the Hessian is built once per update for all tasks, so memory grows with the meta-batch.
    `recompute=True` rebuilds it for each product, `chunk` tasks at a time, which takes twice as long and no more memory
    than the gradient.

    With `step_weights`, the loss and the divergence are weighted sums over the learners after each inner step, each
    evaluated on the batch that it collected: the support of the next step, or the query after the last. (In supervised
    tasks all supports are the same few samples; use `metarl.objectives.multi_step` there.)

    Args:
        max_kl: bound on the mean divergence of the adapted learners in one update
        cg_steps: number of conjugate-gradient steps
        damping: multiple of the identity that is added to the Hessian
        backtrack: factor by which the line search shortens the step
        backtracks: maximum number of steps that the line search tries
        curvature_every: Hessian products use every s-th time step of the support and every q-th of the query; 1 1: all
        recompute: rebuild the graph of the Hessian for each product, which takes less memory and twice as long
        step_weights: weights of the losses after each inner step; by default only the last counts
    """

    @checked
    def __init__(
        self,
        learner: Learner,
        loss: Loss | None = None,
        divergence: Divergence = mean_kl,
        *,
        max_kl: Positive = 0.01,
        cg_steps: Annotated[int, Range(1, 10_000)] = 10,
        damping: NonNegative = 1e-5,
        backtrack: Annotated[float, Range(0, 1, above=True, below=True)] = 0.8,
        backtracks: Annotated[int, Range(1, 10_000)] = 15,
        curvature_every: tuple[Count, Count] = (1, 1),
        recompute: bool = False,
        step_weights: Sequence[NonNegative] = (),
        chunk: Count | None = None,
    ) -> None:
        super().__init__(learner, chunk=chunk)
        self._trainable()
        if len(step_weights):
            check_steps(step_weights, learner)
        self.failures = 0  # consecutive failures of the line search
        self.step_weights = tuple(step_weights) or (1.0,)
        self.loss, self.divergence, self.max_kl = loss or learner_loss(learner), divergence, max_kl
        self.cg_steps, self.damping, self.backtrack, self.backtracks = cg_steps, damping, backtrack, backtracks
        self.curvature_every, self.recompute = curvature_every, recompute

    @exclusive
    def update(self, episodes: Episodes) -> dict[str, float]:
        parameters = list(self.learner.parameters())
        start = parameters_to_vector(parameters).detach().clone()
        before, gradients, old = meta_gradient_and_outputs(self.learner, episodes, self._loss, chunk=self.chunk)
        recorded = episodes._replace(old=old)
        gradient = flatten(gradients)
        require_finite("the meta-gradient", float(gradient.norm()))
        metrics = {"loss": before, "gradient_norm": float(gradient.norm()), "kl": 0.0, "improvement": 0.0}
        if not inner(gradient, gradient):
            return {**metrics, "step_size": 0.0}

        undamped = self.hessian_product(self.thinned(episodes))
        curvatures: list[float] = []  # vᵀHv for the vectors v in conjugate gradient; the first v is the gradient

        def product(vector: Tensor) -> Tensor:
            curved = undamped(vector)
            curvatures.append(float(inner(vector, curved)))
            return curved + self.damping * vector

        direction, residual = conjugate_gradient(product, -gradient, steps=self.cg_steps, tolerance=TOLERANCE)
        self._require_curvature(curvatures[0])
        curvature = float(inner(direction, -gradient - residual))  # directionᵀ·(H + damping)·direction
        self._require_curvature(curvature)
        step = direction * math.sqrt(2 * self.max_kl / curvature)
        for exponent in range(self.backtracks):
            scale = self.backtrack**exponent
            set_parameters(parameters, start + scale * step)
            after, kl = self.evaluate(recorded)
            if after < before and kl <= self.max_kl:
                self.failures = 0
                return {**metrics, "kl": kl, "improvement": before - after, "step_size": scale}
        set_parameters(parameters, start)
        self.failures += 1
        if self.failures == PATIENCE:
            log.warning(
                "the last %d line searches of the trust region found no step, and the parameters did not change: try "
                "a smaller max_kl, more backtracks, more tasks, or a larger damping", PATIENCE,
            )  # fmt: skip
        return {**metrics, "step_size": 0.0}

    def _require_curvature(self, value: float) -> None:
        """Raise FloatingPointError unless `value`, the curvature of the divergence in some direction, is positive."""
        if not (value > 0 and math.isfinite(value)):
            name = getattr(self.divergence, "__name__", type(self.divergence).__name__)
            raise FloatingPointError(
                f"the divergence {name} has the curvature {value:.3g} along the gradient of the loss, and cannot bound "
                "the step: it must grow with the square of a small change of the outputs, as a KL divergence does, and "
                "not be linear in them, as it is for log-probabilities in place of logits"
            )

    def thinned(self, episodes: Episodes) -> Episodes:
        """The episodes with only the samples that `curvature_every` selects."""

        def every(batch: Tree, n: int) -> Tree:
            return batch if n == 1 else tree_map(lambda leaf: leaf[:, ::n], batch)

        support, query = self.curvature_every
        return Episodes(tuple(every(batch, support) for batch in episodes.support), every(episodes.query, query))

    @torch.no_grad()
    def evaluate(self, recorded: Episodes) -> tuple[float, float]:
        """The mean loss and divergence at the current parameters from the `old` outputs of `recorded`."""

        def loss_and_divergence(predicts: Sequence[Predict], episode: Episodes) -> tuple[Tensor, Tensor]:
            loss, new = self._loss(predicts, episode)
            return loss, self._divergence(new, episode.old, episode)

        loss, kl = self.learner(recorded, loss_and_divergence, chunk=self.chunk)
        return float(of_all_tasks(loss).mean()), float(of_all_tasks(kl).mean())

    def _loss(self, predicts: Sequence[Predict], episode: Episodes) -> tuple[Tensor, list[Tree]]:
        """The weighted loss after the inner steps, and the outputs from which it is computed."""
        outputs, batches = self._outputs(predicts, episode), self._batches(episode)
        triples = zip(predicts[-len(batches) :], batches, outputs, strict=True)
        terms = [self.loss(with_cached_output(predict, batch[0], output), batch) for predict, batch, output in triples]
        return weighted(terms, self.step_weights, "the loss"), outputs

    def _outputs(self, predicts: Sequence[Predict], episode: Episodes) -> list[Tree]:
        """The outputs of the adapted models on the batches on which they are evaluated."""
        batches = self._batches(episode)
        return [predict(batch[0]) for predict, batch in zip(predicts[-len(batches) :], batches, strict=True)]

    def _divergence(self, new: list[Tree], old: list[Tree], episode: Episodes) -> Tensor:
        """The weighted divergence of two lists of outputs."""
        triples = zip(new, old, self._batches(episode), strict=True)
        return weighted([self.divergence(n, o, batch) for n, o, batch in triples], self.step_weights, "the divergence")

    def _batches(self, episode: Episodes) -> list[Tree]:
        """The batches on which the adapted models are evaluated, one for each weight."""
        return [*episode.support, episode.query][-len(self.step_weights) :]

    def hessian_product(self, episodes: Episodes) -> Callable[[Tensor], Tensor]:
        """The function from a vector to its product with the Hessian of the mean divergence, without damping."""
        parameters = list(self.learner.parameters())
        parts, weights = zip(*split_weighted(episodes, self.chunk), strict=True)

        def build(learner: Learner, part: Episodes) -> Callable[[list[Tensor]], Tensor]:
            return self._product(learner, part, parameters)

        stored = None if self.recompute else map_parts(build, self.learner, list(parts))

        def product(vector: Tensor) -> Tensor:
            pieces = unflatten(vector, parameters)

            def of_part(learner: Learner, i: int) -> Tensor:
                return (stored[i] if stored else build(learner, parts[i]))(pieces)

            products = map_parts(of_part, self.learner, list(range(len(parts))))
            return sum_tensors([weight * part for weight, part in zip(weights, products, strict=True)])

        return product

    def _product(
        self, learner: Learner, episodes: Episodes, parameters: list[Parameter]
    ) -> Callable[[list[Tensor]], Tensor]:
        """The Hessian product of some tasks, without damping, in three backward passes: J, H and Jᵀ times a vector.

        J times a vector is the derivative of Jᵀu with respect to u. Forward mode would run the adaptation again.
        """
        outputs, spec = tree_flatten(learner.batched_forward(episodes, self._outputs))
        cotangent = [torch.zeros_like(leaf, requires_grad=True) for leaf in outputs]
        with torch.autograd.graph.saved_tensors_hooks(without_zeros, lambda saved: saved):
            pulled = _grad(outputs, parameters, cotangent, create_graph=True)
        old = tree_unflatten([leaf.detach() for leaf in outputs], spec)
        free = [leaf.detach().requires_grad_() for leaf in outputs]
        divergence = vmap(self._divergence)(tree_unflatten(free, spec), old, episodes).mean()
        slope = _grad([divergence], free, create_graph=True)

        def product(pieces: list[Tensor]) -> Tensor:
            change = _grad(pulled, cotangent, pieces)
            curved = _grad(slope, free, change)
            return flatten(_grad(outputs, parameters, curved))

        return product


@torch.no_grad()
def set_parameters(parameters: Sequence[Parameter], vector: Tensor) -> None:
    """Copy `vector` into the parameters, which keep their memory.

    `vector_to_parameters` would make them views of the vector, whose alignment differs from that of parameters that
    are loaded from a checkpoint. Matrix products round differently then, and a resumed run would end elsewhere.
    """
    for parameter, piece in zip(parameters, unflatten(vector, parameters), strict=True):
        parameter.copy_(piece)


def without_zeros(saved: Tensor) -> Tensor:
    """Replace a saved tensor of zeros, as half of them are when u is 0, by one expanded zero, to save memory."""
    empty = saved.is_floating_point() and not saved.norm(p=1)
    return saved.new_zeros(()).expand(saved.shape) if empty else saved


def _grad(
    outputs: Sequence[Tensor],
    inputs: Sequence[Tensor],
    weights: Sequence[Tensor] | None = None,
    *,
    create_graph: bool = False,
) -> list[Tensor]:
    """∂⟨weights, outputs⟩/∂inputs, retaining the graph. It is 0 for inputs on which the outputs do not depend."""
    used = [k for k, out in enumerate(outputs) if out.requires_grad]
    return list(
        torch.autograd.grad(
            [outputs[k] for k in used], inputs, None if weights is None else [weights[k] for k in used],
            create_graph=create_graph, retain_graph=True, materialize_grads=True,
        )
    )  # fmt: skip
