"""The speed of meta-gradients of supervised tasks, compared with a plain loop over tasks and with other libraries."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._pytree import tree_map

from metarl.algorithms.descent import Descent
from metarl.compiled import CompiledGradient
from metarl.core import Episodes, Loss, meta_gradient
from metarl.experiments.benchmark.jax_peer import jax_gradients
from metarl.experiments.benchmark.measure import Report, Timing, interleave
from metarl.experiments.benchmark.sinusoid_iterations import sinusoid_iterations
from metarl.experiments.config.settings import Number
from metarl.learners.gradient import GradientLearner
from metarl.losses import Samples, cross_entropy, mse
from metarl.nets.conv4 import Conv4
from metarl.nets.mlp import MLP
from metarl.objectives import final
from metarl.ranges import Settings
from metarl.tasks.images import ImageClasses, Images
from metarl.train import train

Gradient = list[Tensor]
COMPILED = ", compiled"


class Problem(NamedTuple):
    """A meta-gradient with respect to the parameters of `net`, which all candidates compute.

    `net` consists of torch's own layers. `ours` contains variants {name: (network, tasks at a time)} of metarl's
    computation, whose networks have the same parameters.
    """

    net: nn.Module
    loss: Loss
    lr: float
    episodes: Episodes
    ours: dict[str, tuple[nn.Module, int | None]]


@dataclass(frozen=True)
class Supervised(Settings):
    """The speed of second-order meta-gradients of sinusoids and of a convolutional classifier at Omniglot's size.

    Candidates are metarl, a plain loop over tasks with torch.autograd.grad and, if they are installed, higher,
    TorchOpt, learn2learn and JAX. Before the timing, their gradients are checked to be equal in float64. Each candidate
    uses one torch thread or all, whichever is faster; JAX chooses its threads itself. The other tables are whole
    iterations of training on sinusoids, and the fraction of an iteration on images that sampling takes.
    """

    repeats: Number = 5
    """number of rounds that are measured, after one that is not"""
    compiled: bool = False
    """whether compiled meta-gradients are also measured; compilation takes minutes"""
    json: Path | None = None
    """JSON file to which the results are written"""

    def run(self) -> list[Report]:
        """Measure all meta-gradients, and iterations of training."""
        return [
            measure(title, make, repeats=self.repeats, compiled=self.compiled) for title, make in PROBLEMS.items()
        ] + [
            sinusoid_iterations(repeats=self.repeats, compiled=self.compiled),
            training(repeats=self.repeats),
        ]


def training(*, repeats: int, classes: int = 1200, filters: int = 64) -> Report:
    """Measure sampling and update in iterations of MAML, on as many augmented images (of noise) as Omniglot has."""
    rng = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (20 * classes, 1, 28, 28), dtype=torch.uint8, generator=rng)
    noise = Images(ImageClasses(pixels, tuple(map(str, range(classes))), np.full(classes, 20)), shift=2, warp=0.1)
    learner = GradientLearner(Conv4(1, noise.ways, filters=filters), cross_entropy, lr=0.4)
    outer = Descent(learner, final(cross_entropy), optimizer=lambda p: torch.optim.Adam(p, lr=1e-3), chunk=4)
    _, *metrics = train(outer, noise, iterations=repeats + 1, meta_batch=8)
    report = Report("training on 28×28 images, 5-way 1-shot: 8 tasks, 15 queries a class, MAML with one step", "tasks")
    for part in ("sampling", "update"):
        seconds = sorted(row[f"seconds_{part}"] for row in metrics)
        report.add(part, Timing(median(seconds), seconds[0], seconds[-1]), work=8)
    sampling, update = (row.timing.median for row in report.rows)
    report.notes.append(f"sampling: {sampling / (sampling + update):.1%} of an iteration")
    return report


def measure(title: str, make: Callable[[], Problem], *, repeats: int, compiled: bool = False) -> Report:
    """Check that all candidates agree, measure them, and compare the first one with the others."""
    problem = make()
    calls, missing = candidates(problem, compiled=compiled)
    check(make())
    tasks = len(problem.episodes.query.x)
    available = torch.get_num_threads()
    threads = {name: faster(call, available) for name, call in calls.items()}
    timed = {name: partial(run_on, threads[name], call) for name, call in calls.items()}
    timings = interleave(timed, repeats=repeats)
    torch.set_num_threads(available)
    report = Report(f"meta-gradient of {title}", "tasks")
    ours, *others = [report.add(name, timing, work=tasks) for name, timing in timings.items()]
    for other in others:
        report.compare(ours, other)
    for row in (row for row in others if row.name.endswith(COMPILED)):
        for other in (other for other in others if other.name not in problem.ours and other is not row):
            report.compare(row, other)
    report.notes.append("torch threads, the faster number: " + ", ".join(f"{n} {k}" for n, k in threads.items()))
    report.notes.append("all candidates compute the same meta-gradient in float64")
    if missing:
        report.notes.append(f"not installed, so not measured: {', '.join(missing)}")
    return report


def sinusoids(*, tasks: int = 25, steps: int = 5, k: int = 10) -> Problem:
    """Sinusoids with amplitude U[0.1, 5], phase U[0, π], K support and K query points, and a network 1-40-40-1."""
    rng = torch.Generator().manual_seed(0)
    x = torch.rand(tasks, 2 * k, 1, generator=rng) * 10 - 5
    amplitude, phase = torch.rand(2, tasks, 1, 1, generator=rng)
    y = (0.1 + 4.9 * amplitude) * torch.sin(x - torch.pi * phase)
    torch.manual_seed(0)
    net = MLP(1, 1)
    plain = nn.Sequential(nn.Linear(1, 40), nn.ReLU(), nn.Linear(40, 40), nn.ReLU(), nn.Linear(40, 1))
    share(net, plain)
    episodes = Episodes((Samples(x[:, :k], y[:, :k]),) * steps, Samples(x[:, k:], y[:, k:]))
    return Problem(plain, mse, 0.01, episodes, {"metarl": (net, None)})


def images(*, tasks: int = 8, steps: int = 5, ways: int = 5, queries: int = 15, filters: int = 64) -> Problem:
    """N-way 1-shot tasks of noise at Omniglot's size; the time does not depend on the contents of images."""
    rng = torch.Generator().manual_seed(0)
    x = torch.rand(tasks, ways * (1 + queries), 1, 28, 28, generator=rng)
    y = torch.arange(ways).repeat(1 + queries).expand(tasks, -1)
    torch.manual_seed(0)
    net = Conv4(1, ways, filters=filters)
    layers: list[nn.Module] = []
    for _ in range(4):
        convolution = nn.Conv2d(filters if layers else 1, filters, 3, stride=2, padding=1, bias=False)
        layers += [convolution, nn.BatchNorm2d(filters, track_running_stats=False), nn.ReLU()]
    plain = nn.Sequential(*layers, nn.AvgPool2d(2), nn.Flatten(), nn.Linear(filters, ways))
    share(net, plain)
    episodes = Episodes((Samples(x[:, :ways], y[:, :ways]),) * steps, Samples(x[:, ways:], y[:, ways:]))
    ours: dict[str, tuple[nn.Module, int | None]] = {
        "metarl, 4 tasks at a time": (net, 4),
        "metarl, all tasks at once": (net, None),
        "metarl, a task at a time": (net, 1),
    }
    return Problem(plain, cross_entropy, 0.1, episodes, ours)


PROBLEMS: dict[str, Callable[[], Problem]] = {
    "25 sinusoids, 5 steps, K=10, net 40-40": sinusoids,
    "8 tasks of Conv4, 28×28, 5-way 1-shot, 5 steps": images,
}


def share(source: nn.Module, target: nn.Module) -> None:
    """Copy parameters, in their order, to a network that may have other names for them."""
    with torch.no_grad():
        for a, b in zip(source.parameters(), target.parameters(), strict=True):
            b.copy_(a)


def check(problem: Problem, *, tasks: int = 2) -> None:
    """Raise RuntimeError unless all candidates agree on the first `tasks` tasks, in float64."""

    def cut(leaf: Tensor) -> Tensor:
        return leaf[:tasks].double() if leaf.is_floating_point() else leaf[:tasks]

    for net in (problem.net, *(net for net, _ in problem.ours.values())):
        net.double()
    calls, _ = candidates(problem._replace(episodes=tree_map(cut, problem.episodes)))
    gradients = {name: torch.cat([g.flatten() for g in call()]) for name, call in calls.items()}
    expected = gradients["plain loop"]
    for name, gradient in gradients.items():
        error = float((gradient - expected).norm() / expected.norm())
        if not error < 1e-8:
            raise RuntimeError(f"{name} and the plain loop have different meta-gradients, relative error {error:.1e}")


def candidates(
    problem: Problem, *, compiled: bool = False
) -> tuple[dict[str, Callable[[], Gradient]], list[str]]:
    """Functions that compute the meta-gradient of `problem`, and the libraries that are not installed.

    With `compiled`, the first of metarl's variants is also measured with compilation.
    """
    calls: dict[str, Callable[[], Gradient]] = {
        name: partial(ours, problem, net, chunk, meta_gradient) for name, (net, chunk) in problem.ours.items()
    }
    if compiled:
        name, (net, chunk) = next(iter(problem.ours.items()))
        calls[name + COMPILED] = partial(ours, problem, net, chunk, CompiledGradient())
    calls["plain loop"] = partial(over_tasks, problem, adapted_plainly)
    libraries = {"higher": adapted_by_higher, "torchopt": adapted_by_torchopt, "learn2learn": adapted_by_learn2learn}
    missing = []
    for name, adapted in libraries.items():
        try:
            calls[name] = partial(over_tasks, problem, partial(adapted, import_module(name)))
        except ImportError:
            missing.append(name)
    try:
        calls |= jax_gradients(problem)
    except ImportError:
        missing.append("jax")
    return calls, missing


def ours(problem: Problem, net: nn.Module, chunk: int | None, gradient: Callable[..., Any]) -> Gradient:
    """The meta-gradient of a `GradientLearner` by `gradient`, which is `meta_gradient` or a compiled one."""
    learner = GradientLearner(net, problem.loss, steps=len(problem.episodes.support), lr=problem.lr)
    found: Gradient = gradient(learner, problem.episodes, final(problem.loss), chunk=chunk)[1]
    return found


def over_tasks(problem: Problem, query_loss: Callable[[Problem, list[Samples], Samples], Any]) -> Gradient:
    """The mean over tasks of the gradient of `query_loss`, by a loop over the tasks."""
    tasks = len(problem.episodes.query.x)
    parameters = list(problem.net.parameters())
    total = [torch.zeros_like(p) for p in parameters]
    for t in range(tasks):
        support = [Samples(batch.x[t], batch.y[t]) for batch in problem.episodes.support]
        query = Samples(problem.episodes.query.x[t], problem.episodes.query.y[t])
        for sum_, g in zip(total, query_loss(problem, support, query), strict=True):
            sum_.add_(g, alpha=1 / tasks)
    return total


def adapted_plainly(problem: Problem, support: list[Samples], query: Samples) -> tuple[Tensor, ...]:
    """The gradient for one task in plain torch, by functional_call and torch.autograd.grad(create_graph=True)."""
    start = dict(problem.net.named_parameters())
    adapt: dict[str, Tensor] = dict(start)
    for batch in support:
        loss = problem.loss(partial(functional_call, problem.net, adapt), batch)
        gradients = torch.autograd.grad(loss, list(adapt.values()), create_graph=True)
        adapt = {name: p - problem.lr * g for (name, p), g in zip(adapt.items(), gradients, strict=True)}
    last = problem.loss(partial(functional_call, problem.net, adapt), query)
    return torch.autograd.grad(last, list(start.values()))


def adapted_by_higher(higher: Any, problem: Problem, support: list[Samples], query: Samples) -> tuple[Tensor, ...]:
    """The gradient for one task in higher, by differentiable SGD on a functional copy of the network."""
    optimizer = torch.optim.SGD(problem.net.parameters(), lr=problem.lr)
    with higher.innerloop_ctx(problem.net, optimizer, copy_initial_weights=False) as (net, inner):
        for batch in support:
            inner.step(problem.loss(net, batch))
        return torch.autograd.grad(problem.loss(net, query), list(problem.net.parameters()))


def adapted_by_torchopt(torchopt: Any, problem: Problem, support: list[Samples], query: Samples) -> tuple[Tensor, ...]:
    """The gradient for one task in TorchOpt, by MetaSGD, after which the replaced parameters are restored."""
    parameters = list(problem.net.parameters())
    inner = torchopt.MetaSGD(problem.net, lr=problem.lr)
    state = torchopt.extract_state_dict(problem.net, by="reference")
    for batch in support:
        inner.step(problem.loss(problem.net, batch))
    gradients = torch.autograd.grad(problem.loss(problem.net, query), parameters)
    torchopt.recover_state_dict(problem.net, state)
    return gradients


def adapted_by_learn2learn(
    learn2learn: Any, problem: Problem, support: list[Samples], query: Samples
) -> tuple[Tensor, ...]:
    """The gradient for one task in learn2learn, by adapting a clone of the network."""
    net = learn2learn.algorithms.MAML(problem.net, lr=problem.lr, first_order=False).clone()
    for batch in support:
        net.adapt(problem.loss(net, batch))
    return torch.autograd.grad(problem.loss(net, query), list(problem.net.parameters()))


def run_on(threads: int, call: Callable[[], object]) -> object:
    """The result of `call` with this number of torch threads."""
    torch.set_num_threads(threads)
    return call()


def faster(call: Callable[[], object], available: int) -> int:
    """The number of torch threads, 1 or `available`, for which the faster of two calls takes less time."""
    seconds = {}
    for threads in dict.fromkeys((1, available)):
        run_on(threads, call)
        rounds = []
        for _ in range(2):
            begin = time.perf_counter()
            call()
            rounds.append(time.perf_counter() - begin)
        seconds[threads] = min(rounds)
    return min(seconds, key=lambda n: seconds[n])
