"""Action distributions: torch.distributions, derivatives, the NumPy form, what is drawn, what is forbidden."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, distributions
from torch.func import grad, hessian, vmap
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from metarl.rl.distributions import Bernoulli, Categorical, Gaussian, MultiCategorical

SHAPE = (3, 5)
KINDS: dict[str, Callable[[np.random.Generator], Any]] = {  # leaves float64, [3, 5, …]
    "gaussian": lambda rng: Gaussian(normal(rng, *SHAPE, 2), normal(rng, 2)),
    "gaussian of states": lambda rng: Gaussian(normal(rng, *SHAPE, 2), normal(rng, *SHAPE, 2)),
    "categorical": lambda rng: Categorical(normal(rng, *SHAPE, 4)),
    "multi-categorical": lambda rng: MultiCategorical((normal(rng, *SHAPE, 4), normal(rng, *SHAPE, 2))),
    "bernoulli": lambda rng: Bernoulli(normal(rng, *SHAPE, 3)),
}


def normal(rng: np.random.Generator, *shape: int) -> Tensor:
    return torch.from_numpy(rng.normal(size=shape))


def two(kind: str) -> tuple[Any, Any, Tensor]:
    """A new and an old distribution, and actions."""
    rng = np.random.default_rng(0)
    new, old = KINDS[kind](rng), KINDS[kind](rng)
    return new, old, drawn(new, rng)[0].double()


def drawn(policy: Any, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Actions and log-probabilities of the NumPy form."""
    tasks = tree_map(lambda leaf: leaf if leaf.dim() > 1 else leaf.expand(SHAPE[0], -1), policy)
    arrays = tree_map(lambda leaf: leaf.numpy().astype(np.float32), tasks)
    action, log_prob = arrays.sample(arrays.noise(rng, SHAPE))
    assert action.dtype == log_prob.dtype == np.float32
    return torch.from_numpy(action), torch.from_numpy(log_prob)


class Theirs:
    """The same by torch.distributions."""

    def __init__(self, policy: Any) -> None:
        match policy:
            case Gaussian(mean, log_std):
                self.parts = [distributions.Independent(distributions.Normal(mean, log_std.exp().expand_as(mean)), 1)]
            case Categorical(logits):
                self.parts = [distributions.Categorical(logits=logits)]
            case MultiCategorical(logits):
                self.parts = [distributions.Categorical(logits=part) for part in logits]
            case Bernoulli(logits):
                self.parts = [distributions.Independent(distributions.Bernoulli(logits=logits), 1)]
        self.whole = isinstance(policy, Gaussian | Bernoulli)

    def log_prob(self, action: Tensor) -> Tensor:
        columns = [action] if self.whole else list(action.unbind(-1))
        return sum(part.log_prob(column) for part, column in zip(self.parts, columns, strict=True))  # type: ignore[return-value]

    def kl(self, old: Theirs) -> Tensor:
        pairs = zip(old.parts, self.parts, strict=True)
        return sum(distributions.kl_divergence(one, other) for one, other in pairs)  # type: ignore[return-value]

    def entropy(self) -> Tensor:
        return sum(part.entropy() for part in self.parts)  # type: ignore[return-value]


QUANTITIES: dict[str, Callable[[Any, Any, Tensor], Tensor]] = {
    "log-probability": lambda new, old, action: new.log_prob(action),
    "divergence": lambda new, old, action: new.kl(old),
    "entropy": lambda new, old, action: new.entropy(),
}


@pytest.mark.parametrize("quantity", QUANTITIES)
@pytest.mark.parametrize("kind", KINDS)
def test_values_are_those_of_torch_distributions(kind: str, quantity: str) -> None:
    new, old, action = two(kind)
    found = QUANTITIES[quantity](new, old, action)
    assert found.shape == SHAPE
    expected = QUANTITIES[quantity](Theirs(new), Theirs(old), action)
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("quantity", QUANTITIES)
@pytest.mark.parametrize("kind", KINDS)
def test_first_and_second_derivatives_are_theirs_under_vmap_too(kind: str, quantity: str) -> None:
    """Of the sum of squares over states, by every leaf: one number, whose Hessian mixes all that could be wrong."""
    new, old, action = two(kind)
    leaves, spec = tree_flatten(new)
    sizes, shapes = [leaf.numel() for leaf in leaves], [leaf.shape for leaf in leaves]
    flat = torch.cat([leaf.flatten() for leaf in leaves])

    def value(wrap: Callable[[Any], Any], flat: Tensor) -> Tensor:
        parts = [part.view(shape) for part, shape in zip(flat.split(sizes), shapes, strict=True)]
        return QUANTITIES[quantity](wrap(tree_unflatten(parts, spec)), wrap(old), action).square().sum()

    leaf = flat.clone().requires_grad_()
    (expected,) = torch.autograd.grad(value(Theirs, leaf), leaf)
    torch.testing.assert_close(grad(lambda x: value(lambda d: d, x))(flat), expected, rtol=1e-9, atol=1e-10)
    curvature = torch.autograd.functional.hessian(lambda x: value(Theirs, x), flat)
    many = vmap(hessian(lambda x: value(lambda d: d, x)))(torch.stack([flat, flat + 1]))
    torch.testing.assert_close(many[0], curvature, rtol=1e-8, atol=1e-9)
    assert curvature.abs().max() > 1e-3 or (quantity, kind) == ("entropy", "gaussian")


@pytest.mark.parametrize("kind", KINDS)
def test_numpy_tells_the_log_probability_of_what_it_drew(kind: str) -> None:
    new, _, _ = two(kind)
    action, log_prob = drawn(new, np.random.default_rng(1))
    torch.testing.assert_close(log_prob.double(), new.log_prob(action.double()), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_mode_is_the_most_probable_action_in_torch_and_numpy(kind: str) -> None:
    new, _, _ = two(kind)
    mode, rng = new.mode(), np.random.default_rng(2)
    np.testing.assert_array_equal(tree_map(lambda leaf: leaf.numpy(), new).mode(), mode)
    best = new.log_prob(mode)
    for _ in range(30):
        assert (new.log_prob(drawn(new, rng)[0].double()) <= best + 1e-12).all()


def test_what_is_drawn_has_the_distribution_s_frequencies() -> None:
    """200 000 draws: every frequency within 5 standard errors of its probability."""
    rng, n = np.random.default_rng(3), 200_000
    logits = np.array([0.3, -1.0, 2.0, 0.0], np.float32)
    probabilities = np.exp(logits) / np.exp(logits).sum()

    def close(counts: np.ndarray, wanted: np.ndarray) -> None:
        assert (np.abs(counts / n - wanted) < 5 * np.sqrt(wanted * (1 - wanted) / n)).all()

    one = Categorical(np.broadcast_to(logits, (1, n, 4)))
    close(np.bincount(one.sample(one.noise(rng, (1, n)))[0].astype(int).ravel()), probabilities)
    several = MultiCategorical((one.logits, one.logits[..., :2]))
    both = several.sample(several.noise(rng, (1, n)))[0].astype(int)[0]
    second = np.exp(logits[:2]) / np.exp(logits[:2]).sum()
    close(np.bincount(both[:, 0] * 2 + both[:, 1]), np.outer(probabilities, second).ravel())  # and independent
    switches = Bernoulli(np.broadcast_to(logits, (1, n, 4)))
    close(switches.sample(switches.noise(rng, (1, n)))[0][0].sum(0), 1 / (1 + np.exp(-logits)))
    gaussian = Gaussian(np.broadcast_to(logits, (1, n, 4)), np.full((1, 4), math.log(0.5), np.float32))
    x = gaussian.sample(gaussian.noise(rng, (1, n)))[0][0]
    np.testing.assert_allclose(x.mean(0), logits, atol=5 * 0.5 / math.sqrt(n))
    np.testing.assert_allclose(np.cov(x.T), 0.25 * np.eye(4), atol=5 * 0.25 * math.sqrt(2 / n))


def test_a_forbidden_choice_is_never_drawn_and_does_no_harm() -> None:
    logits = torch.tensor([[0.0, -math.inf, 1.0, -math.inf]], dtype=torch.float64).requires_grad_()
    policy, plain = Categorical(logits), Categorical(logits[:, [0, 2]])
    old = Categorical(torch.tensor([[0.5, -math.inf, 0.0, -math.inf]], dtype=torch.float64))
    torch.testing.assert_close(policy.entropy(), plain.entropy())
    torch.testing.assert_close(policy.kl(old), plain.kl(Categorical(old.logits[:, [0, 2]])))
    (slope,) = torch.autograd.grad(policy.kl(old).sum() + policy.entropy().sum(), logits)
    assert slope.isfinite().all()
    arrays = Categorical(np.broadcast_to(logits.detach().numpy().astype(np.float32), (1, 4, 4)))
    edges = np.array([0.0, 0.2, 0.999, np.nextafter(np.float32(1), np.float32(0))], np.float32).reshape(1, 4, 1)
    actions, log_probs = arrays.sample(edges)
    assert actions.ravel().tolist() == [0, 0, 2, 2]
    np.testing.assert_allclose(log_probs.ravel(), np.log([0.26894, 0.26894, 0.73106, 0.73106]), rtol=1e-4)


@pytest.mark.parametrize("logit", [-200.0, 200.0])
def test_switches_that_are_certain_have_finite_numbers(logit: float) -> None:
    policy, other = Bernoulli(torch.full((1, 2), logit)), Bernoulli(torch.zeros(1, 2))
    assert policy.entropy().item() == 0
    assert policy.kl(policy).item() == 0
    assert other.kl(policy).item() == pytest.approx(2 * math.log(2))
    action, log_prob = Bernoulli(np.full((1, 1, 2), logit, np.float32)).sample(np.full((1, 1, 2), 0.5, np.float32))
    assert action.ravel().tolist() == [float(logit > 0)] * 2
    assert log_prob.item() == 0
