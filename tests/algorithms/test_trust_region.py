"""The trust region: exact Hessian products, a bound that holds, a search that fails safely."""

from collections.abc import Callable
from functools import partial
from typing import Any

import byhand
import numpy as np
import pytest
import torch
from byhand import Params, flat, relative_error
from torch import Tensor
from torch.utils._pytree import tree_map
from toys import policy_learner, regressor, rollout_episodes, sample_episodes

from metarl.algorithms import trust_region
from metarl.algorithms.trust_region import TRPO, without_zeros
from metarl.core import Episodes
from metarl.learners.gradient import GradientLearner
from metarl.losses import mse, squared_change
from metarl.rl.losses import mean_kl, surrogate


def change_by_hand(new: Params, old: Params, batch: Any) -> Tensor:
    return 0.5 * ((byhand.mlp(new, batch.x) - byhand.mlp(old, batch.x).detach()) ** 2).mean()


Kind = tuple[Callable[..., GradientLearner], Callable[..., Episodes], Callable[..., TRPO], Any, Any]
KINDS: dict[str, Kind] = {
    "regression": (
        regressor, sample_episodes,
        lambda learner, damping=0.1, **k: TRPO(learner, mse, squared_change, damping=damping, **k),
        byhand.squared_error, change_by_hand,
    ),
    "policy": (
        policy_learner, rollout_episodes, lambda learner, **k: TRPO(learner, surrogate, mean_kl, **k),
        byhand.ratio_loss, byhand.mean_kl,
    ),
}  # fmt: skip
KIND = pytest.mark.parametrize("kind", KINDS)


class ByHand:
    """The mean divergence of adapted parameters from those the learner has now, as a function of its own parameters.

    With `weights`, of those after every inner step, each on the batch that follows it.
    """

    def __init__(
        self, kind: str, learner: GradientLearner, episodes: Episodes, weights: tuple[float, ...] = (1.0,)
    ) -> None:
        *_, self.loss, self.divergence = KINDS[kind]
        self.learner, self.episodes, self.weights = learner, episodes, weights
        self.leaves = list(learner.parameters())
        self.old = [[{n: v.detach().clone() for n, v in s.items()} for s in states] for states in self.adapted()]

    def adapted(self) -> list[list[Params]]:
        """Of each task, after each inner step that counts."""
        learner = self.learner
        lr = learner.lrs[0] if learner.learned is None else {
            name.replace("/", "."): value for name, value in learner.learned.items()
        }  # fmt: skip
        adapt = learner.names[0].removesuffix("weight") if len(learner.names) == 2 else ""
        adapt = partial(byhand.adapted, loss=self.loss, lr=lr, first_order=learner.first_order, adapt=adapt)
        params = dict(learner.net.named_parameters())
        supports = [byhand.task(self.episodes.support, t) for t in range(len(self.episodes.query[0]))]
        return [adapt(params, support)[-len(self.weights) :] for support in supports]

    def batches(self, t: int) -> list[Any]:
        every = [*self.episodes.support[1:], self.episodes.query]
        return [byhand.task(batch, t) for batch in every[-len(self.weights) :]]

    def mean_loss(self) -> Tensor:
        terms = [
            weight * self.loss(new, batch)
            for t, states in enumerate(self.adapted())
            for weight, new, batch in zip(self.weights, states, self.batches(t), strict=True)
        ]
        return torch.stack(terms).sum() / len(self.old)

    def mean_divergence(self) -> Tensor:
        terms = [
            weight * self.divergence(new, old, batch)
            for t, (states, olds) in enumerate(zip(self.adapted(), self.old, strict=True))
            for weight, new, old, batch in zip(self.weights, states, olds, self.batches(t), strict=True)
        ]
        return torch.stack(terms).sum() / len(self.old)

    def gradient(self, *, create_graph: bool = False) -> Tensor:
        parts = torch.autograd.grad(self.mean_divergence(), self.leaves, create_graph=create_graph)
        return torch.cat([part.flatten() for part in parts])

    def hessian_product(self, vector: Tensor) -> Tensor:
        """By differentiating the gradient once more."""
        return flat(torch.autograd.grad(self.gradient(create_graph=True) @ vector, self.leaves))

    def difference_product(self, vector: Tensor, *, h: float = 1e-5) -> Tensor:
        """By central differences of the gradient along `vector`."""
        start = flat(self.leaves)
        ends = []
        for sign in (1, -1):
            torch.nn.utils.vector_to_parameters(start + sign * h * vector, self.leaves)
            ends.append(self.gradient())
        torch.nn.utils.vector_to_parameters(start, self.leaves)
        return (ends[0] - ends[1]) / (2 * h)


@KIND
@pytest.mark.parametrize(
    "settings", [{"steps": 1}, {"steps": 2}, {"learn_lr": True}, {"first_order": True}, {"adapt": "head"}], ids=str
)
def test_hessian_product(kind: str, settings: dict[str, Any]) -> None:
    make, episodes_of, algorithm_of, *_ = KINDS[kind]
    if "adapt" in settings:
        settings = {"adapt": {"regression": "layers.1", "policy": "mean.layers.1"}[kind]}
    learner, episodes = make(lr=0.2, **settings), episodes_of(steps=settings.get("steps", 1))
    reference = ByHand(kind, learner, episodes)
    vector = torch.from_numpy(np.random.default_rng(0).normal(size=len(flat(reference.leaves))))
    for chunk, recompute in ((None, False), (2, False), (2, True)):
        algorithm = algorithm_of(learner, chunk=chunk, recompute=recompute)
        product = algorithm.hessian_product(episodes)
        product(torch.ones_like(vector))  # graphs are kept: a product must not change the next
        found = product(vector)
        assert relative_error(found, reference.hessian_product(vector)) < 1e-10
        if not learner.first_order:  # whose differences would see the true derivative of θ'
            assert relative_error(found, reference.difference_product(vector)) < 1e-6


@KIND
@pytest.mark.parametrize("max_kl", [1e-3, 1e-1])
def test_an_accepted_step_lowers_the_loss_within_the_bound(kind: str, max_kl: float) -> None:
    make, episodes_of, algorithm_of, *_ = KINDS[kind]
    learner, episodes = make(lr=0.2, steps=2), episodes_of(steps=2)
    reference = ByHand(kind, learner, episodes)
    before = float(reference.mean_loss().detach())
    places = [parameter.data_ptr() for parameter in learner.parameters()]
    metrics = algorithm_of(learner, max_kl=max_kl).update(episodes)
    assert [parameter.data_ptr() for parameter in learner.parameters()] == places  # aligned as after a resumption
    after, kl = float(reference.mean_loss().detach()), float(reference.mean_divergence().detach())
    assert metrics["loss"] == pytest.approx(before, rel=1e-12)
    assert metrics["improvement"] == pytest.approx(before - after, rel=1e-9)
    assert metrics["kl"] == pytest.approx(kl, rel=1e-9)
    assert before - after > 0
    assert 0.1 * max_kl < kl <= max_kl
    assert 0 < metrics["step_size"] <= 1


@KIND
def test_the_first_step_tried_is_the_natural_gradient_at_the_bound(kind: str) -> None:
    """√(2·max_kl / sᵀHs)·s with s = −(H + damping)⁻¹g, from the dense Hessian."""
    make, episodes_of, algorithm_of, *_ = KINDS[kind]
    learner, episodes = make(lr=0.2), episodes_of()
    reference = ByHand(kind, learner, episodes)
    start = flat(reference.leaves)
    matrix = torch.stack([reference.hessian_product(v) for v in torch.eye(len(start), dtype=torch.float64)])
    matrix += 0.1 * torch.eye(len(start))
    direction = -torch.linalg.solve(matrix, flat(torch.autograd.grad(reference.mean_loss(), reference.leaves)))
    step = direction * (2 * 1e-6 / (direction @ matrix @ direction)).sqrt()
    metrics = algorithm_of(learner, max_kl=1e-6, damping=0.1, cg_steps=40).update(episodes)
    assert metrics["step_size"] in (1.0, 0.8)
    assert relative_error(1e3 * (flat(reference.leaves) - start), 1e3 * metrics["step_size"] * step) < 1e-4


WEIGHTS = (0.3, 0.7)


@KIND
def test_every_inner_step_can_count(kind: str) -> None:
    """The loss, the Hessian product and the divergence are weighted sums over the steps, each on its own batch."""
    make, episodes_of, algorithm_of, *_ = KINDS[kind]
    learner, episodes = make(lr=0.2, steps=2), episodes_of(steps=2)
    reference = ByHand(kind, learner, episodes, WEIGHTS)
    vector = torch.from_numpy(np.random.default_rng(0).normal(size=len(flat(reference.leaves))))
    for chunk in (None, 2):
        algorithm = algorithm_of(learner, step_weights=WEIGHTS, chunk=chunk, max_kl=1e-2)
        assert relative_error(algorithm.hessian_product(episodes)(vector), reference.hessian_product(vector)) < 1e-10
    gradient = flat(torch.autograd.grad(reference.mean_loss(), reference.leaves))
    before = float(reference.mean_loss().detach())
    metrics = algorithm.update(episodes)
    after, kl = float(reference.mean_loss().detach()), float(reference.mean_divergence().detach())
    assert metrics["gradient_norm"] == pytest.approx(float(gradient.norm()), rel=1e-9)
    assert (metrics["loss"], metrics["improvement"]) == pytest.approx((before, before - after), rel=1e-9)
    assert metrics["kl"] == pytest.approx(kl, rel=1e-9)
    assert before - after > 0
    assert 1e-3 < kl <= 1e-2


@KIND
def test_only_the_last_step_is_what_no_weights_mean(kind: str) -> None:
    make, episodes_of, algorithm_of, *_ = KINDS[kind]
    ends = []
    for weights in ((), (0.0, 1.0), (0.5, 0.5)):
        learner = make(lr=0.2, steps=2)
        algorithm_of(learner, step_weights=weights).update(episodes_of(steps=2))
        ends.append(flat(list(learner.parameters())))
    assert relative_error(ends[0], ends[1]) < 1e-9
    assert relative_error(ends[0], ends[2]) > 1e-4


@pytest.mark.parametrize("obstacle", ["divergence", "loss"])
def test_a_search_that_finds_nothing_leaves_the_same_bits(obstacle: str) -> None:
    def far(new: Tensor, old: Tensor, batch: Any) -> Tensor:
        return squared_change(new, old, batch) + 1  # the right curvature, but never within the bound

    calls = []

    def worse(predict: Any, batch: Any) -> Tensor:
        calls.append(batch)
        return mse(predict, batch) + (len(calls) > 1)  # the first is the meta-gradient's, then come the trials

    learner, episodes = regressor(lr=0.2), sample_episodes()
    algorithm = TRPO(
        learner, worse if obstacle == "loss" else mse, far if obstacle == "divergence" else squared_change
    )
    before = flat(list(learner.parameters()))
    metrics = algorithm.update(episodes)
    assert torch.equal(flat(list(learner.parameters())), before)
    assert (metrics["kl"], metrics["improvement"], metrics["step_size"]) == (0.0, 0.0, 0.0)
    assert metrics["gradient_norm"] > 0
    if obstacle == "loss":
        assert len(calls) == 1 + algorithm.backtracks


def test_no_gradient_no_step() -> None:
    learner, episodes = regressor(lr=0.2), sample_episodes()
    before = flat(list(learner.parameters()))
    metrics = TRPO(learner, lambda predict, batch: 0 * mse(predict, batch), squared_change).update(episodes)
    assert metrics["step_size"] == 0
    assert torch.equal(flat(list(learner.parameters())), before)


@KIND
@pytest.mark.parametrize("every", [(3, 1), (1, 3), (3, 3)], ids=str)
def test_curvature_on_every_nth_sample(kind: str, every: tuple[int, int]) -> None:
    """Where every sample stands thrice in a row, a third of them has the same curvature; else it is an estimate."""
    make, episodes_of, algorithm_of, *_ = KINDS[kind]

    def updated(episodes: Episodes, every: tuple[int, int]) -> tuple[Tensor, dict[str, float]]:
        learner = make(lr=0.2)
        before = flat(list(learner.parameters()))
        metrics = algorithm_of(learner, curvature_every=every).update(episodes)
        return flat(list(learner.parameters())) - before, metrics

    thrice = tree_map(lambda leaf: leaf.repeat_interleave(3, 1), episodes_of())
    (whole, _), (third, _) = updated(thrice, (1, 1)), updated(thrice, every)
    assert relative_error(third, whole) < 1e-6
    (whole, _), (third, metrics) = updated(episodes_of(), (1, 1)), updated(episodes_of(), every)
    assert relative_error(third, whole) > 1e-3
    assert metrics["improvement"] > 0
    assert 0 < metrics["kl"] <= 0.01


@KIND
def test_kept_graphs_take_less_memory_and_give_the_same_product(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make, episodes_of, algorithm_of, *_ = KINDS[kind]
    learner, episodes, sizes = make(lr=0.2), episodes_of(), []

    def seen(saved: Tensor) -> Tensor:
        kept = without_zeros(saved)
        sizes.append((saved.numel(), 1 if kept is not saved else saved.numel()))
        return kept

    vector = torch.ones(sum(p.numel() for p in learner.parameters()), dtype=torch.float64)
    monkeypatch.setattr(trust_region, "without_zeros", seen)
    sparing = algorithm_of(learner).hessian_product(episodes)(vector)
    whole, kept = (sum(size) for size in zip(*sizes, strict=True))
    assert kept < 0.7 * whole
    monkeypatch.setattr(trust_region, "without_zeros", lambda saved: saved)
    assert torch.equal(sparing, algorithm_of(learner).hessian_product(episodes)(vector))


def test_the_outer_loss_may_ask_for_more_than_its_batch() -> None:
    learner, episodes = regressor(lr=0.2), sample_episodes()
    found = TRPO(learner, lambda predict, batch: predict(2 * batch.x).mean(), squared_change).update(episodes)
    learner = regressor(lr=0.2)
    said = learner(episodes, lambda predicts, episode: predicts[-1](2 * episode.query.x).mean()).mean()
    assert found["loss"] == pytest.approx(float(said.detach()), rel=1e-9)


def test_graphs_keep_one_zero_in_place_of_many_and_all_else_as_it_is() -> None:
    zeros = without_zeros(torch.zeros(30, 40))
    assert zeros.shape == (30, 40)
    assert not zeros.any()
    assert zeros.untyped_storage().nbytes() == zeros.element_size()
    last = torch.zeros(30, 40)
    last[-1, -1] = 1e-40
    for tensor in (last, torch.full((3,), torch.nan), torch.zeros(3, dtype=torch.int64), torch.tensor([-1.0, 1.0])):
        assert without_zeros(tensor) is tensor


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="max_kl is 0"):
        TRPO(regressor(), mse, squared_change, max_kl=0)
    with pytest.raises(ValueError, match=r"curvature_every is \(1, 0\)"):
        TRPO(regressor(), mse, squared_change, curvature_every=(1, 0))
    with pytest.raises(ValueError, match="step_weights has 2 entries for 1 inner steps"):
        TRPO(regressor(), mse, squared_change, step_weights=(0.5, 0.5))
