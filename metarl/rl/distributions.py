"""Action distributions, the outputs of policies, in torch for losses and in NumPy for rollouts.

They are NamedTuples, which vmap and tree_map preserve. In losses, the leaves are tensors, and all methods can be
differentiated any number of times. In rollouts, the leaves are float32 arrays [T, N, …]. In all distributions, an
action is a vector of floating-point numbers, [..., act]; `metarl.rl.actions.to_action` converts it to an action of the
environment.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._pytree import tree_leaves

from metarl.ranges import shown

Leaf = Any  # a tensor, or a float32 array in rollouts
METHODS = ("log_prob", "kl", "entropy", "noise", "sample", "mode")


class ActionDistribution(Protocol):
    """The methods of policies' outputs that losses and rollouts need; your own can be a NamedTuple that has them."""

    def log_prob(self, action: Tensor) -> Tensor:
        """The log-probabilities or log-densities [...] of actions [..., act], summed over the entries of an action."""

    def kl(self, other: Any) -> Tensor:
        """KL(other ‖ self), [...], for a distribution of the same type; trust regions use `new.kl(old)`."""

    def entropy(self) -> Tensor:
        """The entropy [...] in nats, or the differential entropy of a density."""

    def noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Random numbers [*shape, …] for `sample`, which do not depend on the values of the leaves."""

    def sample(self, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Float32 actions [T, N, act] and their log-probabilities [T, N], in NumPy, from noise [T, N, …]."""

    def mode(self) -> Leaf:
        """The most probable actions [..., act], as a tensor or an array like the leaves."""


class Gaussian(NamedTuple):
    """Independent Gaussians for the entries of an action, which is the distribution for a Box."""

    mean: Leaf  # [..., act]
    log_std: Leaf  # [..., act], or [act] if it is the same for all observations (for stacked tasks, [T, act])

    def log_prob(self, action: Tensor) -> Tensor:
        mean, log_std = self.mean, self.log_std
        if mean.shape != action.shape or log_std.shape not in (mean.shape, mean.shape[-1:]):
            raise ValueError(
                f"means have shape {tuple(mean.shape)}, log standard deviations {tuple(log_std.shape)}, actions "
                f"{tuple(action.shape)}: give equal shapes, or one log standard deviation for each entry of an action"
            )
        noise = (action - mean) * torch.exp(-log_std)
        return -0.5 * noise.square().sum(-1) - (log_std + 0.5 * math.log(2 * math.pi)).expand_as(mean).sum(-1)

    def kl(self, other: Gaussian) -> Tensor:
        check_same(self, other)
        (mean, log_std), (old_mean, old_log_std) = self, other
        variance, old_variance = torch.exp(2 * log_std), torch.exp(2 * old_log_std)
        kl = log_std - old_log_std + (old_variance + (old_mean - mean).square()) / (2 * variance) - 0.5
        return kl.sum(-1)

    def entropy(self) -> Tensor:
        return (self.log_std + 0.5 * math.log(2 * math.pi * math.e)).expand_as(self.mean).sum(-1)

    def noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return rng.standard_normal((*shape, self.mean.shape[-1]), dtype=np.float32)

    def sample(self, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean, log_std, size = self.mean, self.log_std, self.mean.shape[-1]
        if log_std.shape not in (mean.shape, (mean.shape[0], size)):
            raise ValueError(
                f"a Gaussian policy returns means {mean.shape} and log standard deviations {log_std.shape}: return "
                f"{mean.shape} or, if they are the same for all observations, {(mean.shape[0], size)}"
            )
        log_std = log_std[:, None] if log_std.ndim < mean.ndim else log_std
        action = np.exp(log_std) * noise
        action += mean
        density = -0.5 * np.square(noise).sum(-1) - np.float32(0.5 * size * math.log(2 * math.pi))
        return action, density - log_std.sum(-1)

    def mode(self) -> Leaf:
        return self.mean


class Categorical(NamedTuple):
    """One of n choices, recorded as a number 0 … n − 1, which is the distribution for a Discrete space."""

    logits: Leaf  # [..., n], unnormalised log-probabilities; −inf for a choice that is not allowed

    def log_prob(self, action: Tensor) -> Tensor:
        if action.shape != (*self.logits.shape[:-1], 1):
            raise ValueError(
                f"logits have shape {tuple(self.logits.shape)}, actions {tuple(action.shape)}: give one number for each"
            )
        return _log_probabilities(self.logits).gather(-1, action.long())[..., 0]

    def kl(self, other: Categorical) -> Tensor:
        check_same(self, other)
        new, old = _log_probabilities(self.logits), _log_probabilities(other.logits)
        return (old.exp() * (old - new)).sum(-1)

    def entropy(self) -> Tensor:
        log_probabilities = _log_probabilities(self.logits)
        return -(log_probabilities.exp() * log_probabilities).sum(-1)

    def noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return rng.random((*shape, 1), dtype=np.float32)

    def sample(self, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        logits = self.logits - self.logits.max(-1, keepdims=True)
        weights = np.exp(logits)
        cumulative = weights.cumsum(-1)
        total = cumulative[..., -1:].copy()
        cumulative /= total  # the last entry is exactly 1, and noise is less than 1
        chosen = (noise >= cumulative).sum(-1, keepdims=True)
        rows = logits.reshape(-1, logits.shape[-1])
        of_chosen = rows[np.arange(len(rows)), chosen.reshape(-1)].reshape(chosen.shape[:-1])
        return chosen.astype(np.float32), of_chosen - np.log(total[..., 0])

    def mode(self) -> Leaf:
        return _as_numbers(self.logits.argmax(-1)[..., None], self.logits)


class MultiCategorical(NamedTuple):
    """Several independent choices, recorded as one number each, which is the distribution for a MultiDiscrete space."""

    logits: tuple[Leaf, ...]  # for each choice, [..., n], where n may differ

    def log_prob(self, action: Tensor) -> Tensor:
        if action.shape[-1] != len(self.logits):
            raise ValueError(
                f"there are logits for {len(self.logits)} choices, but actions have shape {tuple(action.shape)}: give "
                "one number for each choice"
            )
        parts = zip(self._parts(), action.split(1, -1), strict=True)
        return cast(Tensor, sum(part.log_prob(chosen) for part, chosen in parts))

    def kl(self, other: MultiCategorical) -> Tensor:
        check_same(self, other)
        return cast(Tensor, sum(new.kl(old) for new, old in zip(self._parts(), other._parts(), strict=True)))

    def entropy(self) -> Tensor:
        return cast(Tensor, sum(part.entropy() for part in self._parts()))

    def noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return rng.random((*shape, len(self.logits)), dtype=np.float32)

    def sample(self, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        drawn = [part.sample(noise[..., i : i + 1]) for i, part in enumerate(self._parts())]
        actions, log_probs = zip(*drawn, strict=True)
        return np.concatenate(actions, -1), cast(np.ndarray, sum(log_probs))

    def mode(self) -> Leaf:
        modes = [part.mode() for part in self._parts()]
        return torch.cat(modes, -1) if isinstance(modes[0], Tensor) else np.concatenate(modes, -1)

    def _parts(self) -> list[Categorical]:
        return [Categorical(logits) for logits in self.logits]


class Bernoulli(NamedTuple):
    """Independent binary choices, recorded as 0 or 1 each, which is the distribution for a MultiBinary space."""

    logits: Leaf  # [..., act], log-odds of 1

    def log_prob(self, action: Tensor) -> Tensor:
        if action.shape != self.logits.shape:
            raise ValueError(
                f"logits have shape {tuple(self.logits.shape)}, actions {tuple(action.shape)}: give equal shapes"
            )
        return functional.logsigmoid((2 * action - 1) * self.logits).sum(-1)

    def kl(self, other: Bernoulli) -> Tensor:
        check_same(self, other)
        new, old, probability = self.logits, other.logits, other.logits.sigmoid()
        on = functional.logsigmoid(old) - functional.logsigmoid(new)
        off = functional.logsigmoid(-old) - functional.logsigmoid(-new)
        return (probability * on + (1 - probability) * off).sum(-1)

    def entropy(self) -> Tensor:
        on, off = functional.logsigmoid(self.logits), functional.logsigmoid(-self.logits)
        return -(on.exp() * on + off.exp() * off).sum(-1)

    def noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return rng.random((*shape, self.logits.shape[-1]), dtype=np.float32)

    def sample(self, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        on = noise < np.exp(-np.logaddexp(0, -self.logits))  # 1 / (1 + e^−logit), without overflow
        log_prob = -np.logaddexp(0, np.where(on, -self.logits, self.logits)).sum(-1)
        return on.astype(np.float32), log_prob

    def mode(self) -> Leaf:
        return _as_numbers(self.logits > 0, self.logits)


def as_distribution(outputs: Any) -> ActionDistribution:
    """Return a policy's `outputs`. Raises ValueError if they are not an action distribution."""
    if not all(hasattr(outputs, method) for method in METHODS):
        raise ValueError(
            f"a policy's outputs are {shown(outputs)}: let its forward return a distribution of "
            "metarl.rl.distributions, such as Gaussian(mean, log_std) or Categorical(logits)"
        )
    return cast(ActionDistribution, outputs)


def check_same(new: Any, old: Any) -> None:
    """Raise ValueError unless two distributions have the same type and sizes."""
    new_sizes, old_sizes = ([leaf.shape[-1] for leaf in tree_leaves(policy)] for policy in (new, old))
    if type(new) is not type(old) or new_sizes != old_sizes:
        kinds = f"{type(new).__name__} of sizes {new_sizes} from {type(old).__name__} of sizes {old_sizes}"
        raise ValueError(f"the KL divergence is of {kinds}: give two distributions of the same type and size")


def _log_probabilities(logits: Tensor) -> Tensor:
    """Normalised log-probabilities. −inf is replaced by the smallest finite number, so that 0·log 0 is 0."""
    return logits.log_softmax(-1).clamp(min=torch.finfo(logits.dtype).min)


def _as_numbers(chosen: Leaf, like: Leaf) -> Leaf:
    return chosen.to(like.dtype) if isinstance(like, Tensor) else chosen.astype(np.float32)
