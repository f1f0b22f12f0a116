"""Meta-gradients of the gradient learner against unrolled autograd and finite differences."""

from collections.abc import Callable, Sequence
from typing import Any

import byhand
import pytest
import torch
from byhand import Params, finite_differences, flat, relative_error
from torch import Tensor
from torch.utils._pytree import tree_leaves
from toys import policy_learner, regressor, rollout_episodes, sample_episodes

from metarl.core import Episodes, Learner, Predict, meta_gradient
from metarl.learners.gradient import GradientLearner
from metarl.losses import mse
from metarl.nets.mlp import MLP
from metarl.objectives import final
from metarl.rl.losses import surrogate

KINDS: dict[str, tuple[Callable[..., GradientLearner], Callable[..., Episodes], Any, Any]] = {
    "regression": (regressor, sample_episodes, mse, byhand.squared_error),
    "policy": (policy_learner, rollout_episodes, surrogate, byhand.ratio_loss),
}
KIND = pytest.mark.parametrize("kind", KINDS)
STEPS = pytest.mark.parametrize("steps", [1, 3])
HEAD = {"regression": "layers.1", "policy": "mean.layers.1"}


def rates_of(learner: GradientLearner, lr: float) -> float | Params:
    if learner.learned is None:
        return lr
    return {name.replace("/", "."): value for name, value in learner.learned.items()}


def unrolled_gradient(learner: GradientLearner, episodes: Episodes, loss: Any, *, lr: float, adapt: str) -> Tensor:
    """The flat meta-gradient of MAML by a loop over tasks, from the same parameters."""
    params, total = dict(learner.net.named_parameters()), torch.zeros((), dtype=torch.float64)
    count = len(episodes.query[0])
    for t in range(count):
        episode = byhand.task(episodes, t)
        states = byhand.adapted(
            params, episode.support, loss, lr=rates_of(learner, lr), first_order=learner.first_order, adapt=adapt
        )
        total = total + loss(states[-1], episode.query) / count
    return flat(torch.autograd.grad(total, list(learner.parameters())))


def checked(kind: str, *, steps: int, adapt: str = "", **settings: Any) -> None:
    """Compare with unrolled autograd and, unless it is first-order, with finite differences; for chunks 1, 2, None."""
    make, episodes_of, loss, hand = KINDS[kind]
    learner, episodes = make(steps=steps, lr=0.2, adapt=adapt, **settings), episodes_of(steps=steps)
    if learner.learned is not None:  # rates of their own, so that one in another's place would show
        for i, value in enumerate(learner.learned.values()):
            value.data.uniform_(0.05 + 0.1 * i, 0.1 + 0.1 * i)
    value, gradients = meta_gradient(learner, episodes, final(loss))
    gradient = flat(gradients)
    assert relative_error(gradient, unrolled_gradient(learner, episodes, hand, lr=0.2, adapt=adapt)) < 1e-12
    if not learner.first_order:
        slopes = finite_differences(
            lambda: float(learner(episodes, final(loss)).mean().detach()), list(learner.parameters())
        )
        assert relative_error(gradient, slopes) < 1e-6
    for chunk in (1, 2):
        chunked_value, chunked = meta_gradient(learner, episodes, final(loss), chunk=chunk)
        assert chunked_value == pytest.approx(value, rel=1e-12)
        assert relative_error(flat(chunked), gradient) < 1e-12


@KIND
@STEPS
def test_maml(kind: str, steps: int) -> None:
    checked(kind, steps=steps)


@KIND
@STEPS
def test_meta_sgd_rates_too(kind: str, steps: int) -> None:
    checked(kind, steps=steps, learn_lr=True)


@KIND
@STEPS
def test_anil_slow_parameters_too(kind: str, steps: int) -> None:
    checked(kind, steps=steps, adapt=HEAD[kind])


@KIND
@STEPS
def test_fomaml_against_unrolled_autograd_with_stopped_gradients(kind: str, steps: int) -> None:
    checked(kind, steps=steps, first_order=True)


@KIND
def test_fomaml_is_the_mean_query_gradient_at_the_adapted_parameters(kind: str) -> None:
    make, episodes_of, loss, hand = KINDS[kind]
    learner, episodes = make(steps=2, lr=0.2, first_order=True), episodes_of(steps=2)
    terms = []
    for t in range(len(episodes.query[0])):
        episode = byhand.task(episodes, t)
        last = byhand.adapted(dict(learner.net.named_parameters()), episode.support, hand, lr=0.2)[-1]
        last = {name: value.detach().requires_grad_() for name, value in last.items()}
        terms.append(flat(torch.autograd.grad(hand(last, episode.query), list(last.values()))))
    gradient = flat(meta_gradient(learner, episodes, final(loss))[1])
    assert relative_error(gradient, torch.stack(terms).mean(0)) < 1e-12
    exact = flat(meta_gradient(make(steps=2, lr=0.2), episodes, final(loss))[1])
    assert relative_error(gradient, exact) > 1e-3  # and it is not MAML's


@KIND
@pytest.mark.parametrize("first_order", [False, True])
def test_an_objective_hears_again_what_was_said_of_a_support_batch(kind: str, first_order: bool) -> None:
    """Same gradient as by the general way, which asks the net a second time; here only the query is new to it."""
    make, episodes_of, loss, _ = KINDS[kind]
    learner, episodes = make(steps=2, lr=0.2, first_order=first_order), episodes_of(steps=2)

    def objective(predicts: Sequence[Predict], episode: Episodes) -> Tensor:
        terms = [loss(p, batch) for p, batch in zip(predicts, [*episode.support, episode.query], strict=True)]
        return torch.stack(terms) @ torch.tensor([0.3, 0.5, 1.0], dtype=torch.float64)

    asked = []
    learner.net.register_forward_hook(lambda *_: asked.append(1))
    _, gradients = meta_gradient(learner, episodes, objective)
    assert len(asked) == (5 if first_order else 3)  # first-order graphs are freed: objectives predict for themselves
    losses = Learner.batched_forward(learner, episodes, objective)
    general = torch.autograd.grad(losses.mean(), list(learner.parameters()))
    assert relative_error(flat(gradients), flat(general)) < 1e-12
    with torch.no_grad():
        heard = learner(episodes, lambda predicts, episode: predicts[0](episode.support[0][0]))
        elsewhere = learner(episodes, lambda predicts, episode: predicts[1](episode.support[0][0]))
    assert not any(leaf.requires_grad for leaf in tree_leaves(heard))
    assert not torch.equal(tree_leaves(heard)[0], tree_leaves(elsewhere)[0])


def test_a_loss_may_ask_for_more_than_its_batch() -> None:
    def consistent(predict: Predict, batch: Any) -> Tensor:
        return mse(predict, batch) + 0.3 * (predict(batch.x) - predict(2 * batch.x)).square().mean()

    learner, episodes = regressor(steps=2, lr=0.2), sample_episodes(steps=2)
    learner.loss = consistent
    _, gradients = meta_gradient(learner, episodes, final(mse))
    losses = Learner.batched_forward(learner, episodes, final(mse))
    general = torch.autograd.grad(losses.mean(), list(learner.parameters()))
    assert relative_error(flat(gradients), flat(general)) < 1e-12


def test_a_sequence_of_rates_holds_its_last_for_further_steps() -> None:
    episodes = sample_episodes(steps=3)
    learner = regressor(steps=3, lr=(0.3, 0.1))
    states = learner.states(byhand.task(episodes, 1).support)
    now = {name: value.detach().requires_grad_() for name, value in learner.net.named_parameters()}
    for k, lr in enumerate((0.3, 0.1, 0.1)):
        now = byhand.adapted(now, [byhand.task(episodes.support[k], 1)], byhand.squared_error, lr=lr)[-1]
        for name, value in now.items():
            torch.testing.assert_close(states[k + 1][name], value, rtol=1e-12, atol=1e-12)


def test_anil_adapts_the_head_alone_and_meta_sgd_starts_at_its_rate() -> None:
    learner = regressor(adapt="head", learn_lr=True, lr=0.25)
    assert list(learner.init()) == ["layers.1.weight", "layers.1.bias"]
    assert learner.learned is not None
    assert {name: value.unique().tolist() for name, value in learner.learned.items()} == {
        "layers/1/weight": [0.25], "layers/1/bias": [0.25],
    }  # fmt: skip


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match=r"adapt is 'haed', but no parameter's name starts with it: MLP has layers"):
        GradientLearner(MLP(1, 1), mse, adapt="haed")
    with pytest.raises(ValueError, match="steps is -1"):
        GradientLearner(MLP(1, 1), mse, steps=-1)
    with pytest.raises(ValueError, match=r"learn_lr.*a number, not a sequence"):
        GradientLearner(MLP(1, 1), mse, learn_lr=True, lr=(0.1, 0.05))
