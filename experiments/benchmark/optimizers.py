"""A learned optimiser compared with tuned Adam and SGD, on larger nets and other problems than it was trained on."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.optim import SGD, Adam, Optimizer

from metarl.core import Loss
from metarl.experiments.config.settings import Iterations, Number, Seed
from metarl.learners.mlp_optimizer import MLPOptimizer, StepRule
from metarl.learners.update_rule import Adapted, Parameters
from metarl.losses import Samples, cross_entropy, mse
from metarl.nets.mlp import MLP
from metarl.ranges import Settings

POINTS = 32  # number of points in the minibatch of a step
LOG_LRS = {  # decimal logarithms of the learning rates that are compared
    "Adam": np.arange(-3.5, -0.9, 0.5), "SGD with momentum": np.arange(-3.5, -0.4, 0.5),
}  # fmt: skip
OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {"Adam": Adam, "SGD with momentum": partial(SGD, momentum=0.9)}
Minibatches = Callable[[int], Samples]
"""A function that samples a number of new points of each of n functions: `Samples` [n, points, …]."""


class Problem(NamedTuple):
    """A distribution of functions to fit, the net that fits them, and its loss. `draw(n, rng)` samples n functions."""

    net: Callable[[], MLP]
    loss: Loss
    draw: Callable[[int, np.random.Generator], Minibatches]


def waves(n: int, rng: np.random.Generator, *, terms: int = 1) -> Minibatches:
    """n sums of sine waves with random amplitudes, frequencies and phases; inputs [n, points, 1] are in [−2, 2]."""
    a, w, phase = rng.uniform((0.5, 0.5, 0.0), (2.0, 3.0, 2 * math.pi), (n, terms, 3)).T[..., None]

    def batch(points: int) -> Samples:
        x = rng.uniform(-2, 2, (n, points))
        y = sum(a[i] * np.sin((1 + i) * w[i] * x + phase[i]) for i in range(terms))
        return as_samples(x[..., None], np.asarray(y)[..., None])

    return batch


def clusters(n: int, rng: np.random.Generator) -> Minibatches:
    """n problems with three classes of points [n, points, 2] in the plane, each of which has two Gaussian clusters."""
    centres = rng.normal(size=(n, 6, 2))

    def batch(points: int) -> Samples:
        which = rng.integers(6, size=(n, points))
        x = np.take_along_axis(centres, which[..., None], 1) + 0.2 * rng.normal(size=(n, points, 2))
        return as_samples(x, which % 3)

    return batch


def spirals(n: int, rng: np.random.Generator) -> Minibatches:
    """n problems with three classes of points [n, points, 2] in the plane, which are the arms of a spiral."""
    turns, start = rng.uniform(3, 5, (n, 1)), rng.uniform(0, 2 * math.pi, (n, 1))

    def batch(points: int) -> Samples:
        which, r = rng.integers(3, size=(n, points)), rng.random((n, points))
        angle = start + turns * r + 2 * math.pi * which / 3
        x = 1.5 * r[..., None] * np.stack([np.cos(angle), np.sin(angle)], -1)
        return as_samples(x + 0.03 * rng.normal(size=x.shape), which)

    return batch


def as_samples(x: np.ndarray, y: np.ndarray) -> Samples:
    """Inputs in float32, with targets in float32 or, if they are labels, in int64."""
    return Samples(
        torch.from_numpy(x.astype(np.float32)), torch.from_numpy(y if y.dtype == np.int64 else np.float32(y))
    )


TRAINING_PROBLEMS = [
    Problem(lambda: MLP(1, 1, hidden=(8,), activation="tanh"), mse, waves),
    Problem(lambda: MLP(2, 3, hidden=(32,)), cross_entropy, clusters),
    Problem(lambda: MLP(1, 1, hidden=(32, 32)), mse, waves),
    Problem(lambda: MLP(2, 3, hidden=(16, 16), activation="tanh"), cross_entropy, clusters),
]
TEST_PROBLEMS = {
    "one wave, 2 layers of 64 units": Problem(lambda: MLP(1, 1, hidden=(64, 64)), mse, waves),
    "sums of three waves, 2 layers of 64 tanh units": Problem(
        lambda: MLP(1, 1, hidden=(64, 64), activation="tanh"), mse, partial(waves, terms=3)
    ),
    "spirals, 3 layers of 48 units": Problem(lambda: MLP(2, 3, hidden=(48, 48, 48)), cross_entropy, spirals),
}


class Fit:
    """n nets that are trained together, each on its own function; their parameters are stacked to [n, …]."""

    def __init__(self, problem: Problem, n: int, rng: np.random.Generator) -> None:
        self.loss, self.sample, nets = problem.loss, problem.draw(n, rng), [problem.net() for _ in range(n)]
        self.net: nn.Module = nets[0]
        self.parameters: Parameters = {
            name: torch.stack([net.get_parameter(name).detach() for net in nets])
            for name in dict(nets[0].named_parameters())
        }
        self.n = n

    def losses(self, parameters: Parameters, batch: Samples) -> Tensor:
        """The loss of each net on its points, [n]."""

        def one(parameters: Parameters, batch: Samples) -> Tensor:
            return self.loss(lambda x: functional_call(self.net, parameters, (x,)), batch)

        return vmap(one)(parameters, batch)

    def learned(self, rule: StepRule) -> tuple[Adapted, Callable[[Adapted], Adapted]]:
        """The initial state of all nets, and the function that takes one step by the update rule `rule`."""
        learner = MLPOptimizer(self.net, self.loss, rule)
        memory = torch.utils._pytree.tree_map(lambda leaf: leaf.expand(self.n, *leaf.shape), learner.memory())
        step = vmap(partial(learner.step, k=0))
        return Adapted(self.parameters, memory), lambda state: step(state, self.sample(POINTS))


def learn(rule: StepRule, *, iterations: int, unroll: int, most: int, tasks: int, rng: np.random.Generator) -> None:
    """Train `rule` on TRAINING_PROBLEMS, in turns, by truncated backpropagation through `unroll` steps at a time.

    `tasks` nets are trained on each problem. They continue in the next turn, until they have taken a number of steps
    whose logarithm is uniformly distributed up to that of `most`; then new nets begin. The objective is the mean
    logarithm of the losses, so that all problems and all phases of training have equal weight.
    """
    outer = Adam(rule.parameters(), lr=1e-3)
    scheduler = torch.optim.lr_scheduler.LinearLR(outer, 1.0, 0.1, total_iters=iterations)
    running: dict[int, tuple[Fit, Adapted, Any, int]] = {}
    for i in range(iterations):
        turn = i % len(TRAINING_PROBLEMS)
        if turn not in running:
            fit = Fit(TRAINING_PROBLEMS[turn], tasks, rng)
            running[turn] = (fit, *fit.learned(rule), round(most ** rng.uniform(math.log(unroll, most), 1)))
        fit, state, step, left = running[turn]
        terms = []
        for _ in range(unroll):
            state = step(state)
            terms.append((fit.losses(state.parameters, fit.sample(POINTS)) + 1e-3).log().mean())
        outer.zero_grad()
        torch.stack(terms).mean().backward()
        nn.utils.clip_grad_norm_(rule.parameters(), 1.0)
        outer.step()
        scheduler.step()
        running[turn] = fit, torch.utils._pytree.tree_map(torch.detach, state), step, left - unroll
        if left <= unroll or not all(bool(p.isfinite().all()) for p in state.parameters.values()):
            del running[turn]


def median_loss(fit: Fit, parameters: Parameters) -> float:
    """The median over the nets of the loss on 1,000 new points; a loss that is NaN counts as infinite."""
    with torch.no_grad():
        return float(fit.losses(parameters, fit.sample(1000)).nan_to_num(math.inf).median())


def by_rule(fit: Fit, rule: StepRule, *, at: list[int]) -> list[float]:
    """Train the nets of `fit` by a learned rule. Returns their median losses after each number of steps in `at`."""
    state, step = fit.learned(rule)
    found = []
    with torch.no_grad():
        for t in range(1, at[-1] + 1):
            state = step(state)
            if t in at:
                found.append(median_loss(fit, state.parameters))
    return found


def by_torch(fit: Fit, make: Callable[..., Optimizer], lr: float, *, at: list[int]) -> list[float]:
    """Train the nets of `fit` by a torch optimiser. Returns their median losses after each number of steps in `at`."""
    parameters = {name: value.clone().requires_grad_() for name, value in fit.parameters.items()}
    optimizer, found = make(list(parameters.values()), lr=lr), []
    for t in range(1, at[-1] + 1):
        optimizer.zero_grad()
        fit.losses(parameters, fit.sample(POINTS)).sum().backward()  # each net's gradient is that of its own loss
        optimizer.step()
        if t in at:
            found.append(median_loss(fit, parameters))
    return found


@dataclass
class Losses:
    """The losses of each optimiser on one problem, after each number of steps in `at`."""

    title: str
    at: list[int]
    rows: Mapping[str, list[float]]

    def show(self) -> None:
        """Print the losses as a table."""
        table = Table("optimiser", *(f"{n} steps" for n in self.at), title=self.title)
        for name, losses in self.rows.items():
            table.add_row(name, *(f"{loss:.4f}" for loss in losses))
        Console().print(table)

    def as_json(self) -> dict[str, Any]:
        """The losses as a JSON object, for `--json`."""
        return {"title": self.title, "steps": self.at, "losses": dict(self.rows)}


@dataclass(frozen=True)
class Optimizers(Settings):
    """The losses of a learned optimiser and of Adam and SGD, on larger nets and more steps than it was trained on.

    The learning rates of Adam and of SGD with momentum 0.9 are chosen for each problem and each number of steps by the
    loss that is reported, from 6 or 7 rates with a ratio of √10; the learned optimiser has no setting. Losses are
    medians over nets, on new points.
    """

    iterations: Iterations = 150
    """number of updates in the training of the learned optimiser"""
    unroll: Number = 20
    """number of steps of the nets that each update is differentiated through"""
    most: Number = 200
    """maximum number of steps that a net takes in the training of the learned optimiser"""
    tasks: Number = 8
    """number of nets that are trained together on each problem"""
    steps: Number = 500
    """number of steps after which the optimisers are compared, in addition to a tenth of it"""
    seed: Seed = 0
    """seed of all random numbers"""
    json: Path | None = None
    """JSON file to which the results are written"""

    def run(self) -> list[Losses]:
        """Train the learned optimiser, and compare it with the others on each of TEST_PROBLEMS."""
        torch.manual_seed(self.seed)
        rule = StepRule(lr=0.003, hidden=(32, 32))
        learn(
            rule, iterations=self.iterations, unroll=self.unroll, most=max(self.most, self.unroll + 1),
            tasks=self.tasks, rng=np.random.default_rng(self.seed),
        )  # fmt: skip
        at = sorted({max(1, self.steps // 10), self.steps})
        return [self.compared(name, problem, rule, at) for name, problem in TEST_PROBLEMS.items()]

    def compared(self, name: str, problem: Problem, rule: StepRule, at: list[int]) -> Losses:
        """The losses of all optimisers on one problem, for the same initial nets and functions."""

        def fit() -> Fit:
            torch.manual_seed(self.seed)
            return Fit(problem, self.tasks, np.random.default_rng((self.seed, 1)))

        rows = {"learned": by_rule(fit(), rule, at=at)}
        for optimizer, make in OPTIMIZERS.items():
            found = [by_torch(fit(), make, 10.0**lr, at=at) for lr in LOG_LRS[optimizer]]
            rows[f"{optimizer}, tuned"] = [min(losses) for losses in zip(*found, strict=True)]
        return Losses(name, at, rows)
