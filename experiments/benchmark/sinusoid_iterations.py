"""Whole iterations of training on sinusoids (sampling, meta-gradient and Adam's step): metarl and JAX with optax."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from metarl.compiled import compile_training
from metarl.experiments.benchmark.jax_peer import in_jax, network
from metarl.experiments.benchmark.measure import Report, interleave
from metarl.experiments.presets import preset
from metarl.experiments.runner import new_training
from metarl.losses import mse
from metarl.run.checkpoint import Training
from metarl.train import Stream, generator

PRESET = "sinusoid-maml"
BLOCK = 20  # iterations in each call that is timed
METARL, COMPILED, JAX = "metarl", "metarl, compiled", "JAX and optax, jit and vmap"


def sinusoid_iterations(*, repeats: int, compiled: bool) -> Report:
    """Iterations of the preset sinusoid-maml on one torch thread, after a check that the candidates agree.

    All candidates draw the same tasks. The loop in JAX is what a user of JAX and optax would write: NumPy samples, and
    one function in jit computes the meta-gradient and Adam's step.
    """
    trainings = {METARL: training("off")} | ({COMPILED: training("on")} if compiled else {})
    loops: dict[str, Iterator[object]] = {name: made.updates(0) for name, made in trainings.items()}
    report = Report(f"iterations of {PRESET}: sampling, meta-gradient and Adam's step", "iterations")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        try:
            loops[JAX], parameters = in_jax_and_optax()
        except ImportError:
            report.notes.append("not installed, so not measured: jax or optax")
        for loop in loops.values():
            run(loop)
        if JAX in loops:
            for name, made in trainings.items():
                check(name, list(made.learner.parameters()), parameters())
        timings = interleave({name: partial(run, loop) for name, loop in loops.items()}, repeats=repeats)
    finally:
        torch.set_num_threads(before)
    rows = [report.add(name, timing, work=BLOCK) for name, timing in timings.items()]
    for i, row in enumerate(rows):
        for other in rows[i + 1 :]:
            report.compare(row, other)
    return report


def training(mode: Any) -> Training:
    """The training of the preset, compiled or not."""
    made, _ = new_training(preset(PRESET), torch.device("cpu"))
    compile_training(made, mode)
    return made


def run(loop: Iterator[object]) -> None:
    """Compute the next `BLOCK` iterations of `loop`."""
    for _ in range(BLOCK):
        next(loop)


def check(name: str, parameters: list[Tensor], expected: list[Tensor]) -> None:
    """Raise RuntimeError unless parameters after some iterations in float32 are close to those in JAX."""
    ours, theirs = (torch.cat([p.detach().flatten() for p in tensors]) for tensors in (parameters, expected))
    error = float((ours - theirs).norm() / theirs.norm())
    if not error < 1e-4:
        raise RuntimeError(f"{name} and JAX have other parameters after {BLOCK} iterations, relative error {error:.1e}")


def in_jax_and_optax() -> tuple[Iterator[object], Callable[[], list[Tensor]]]:
    """Iterations of the preset in JAX, and a function that returns the parameters after the last one.

    Raises ImportError if JAX or optax is not installed.
    """
    jax, optax = import_module("jax"), import_module("optax")
    config = preset(PRESET)
    steps, (lr,) = config.learner.steps, config.learner.lr  # type: ignore[attr-defined]
    weights, task = config.algorithm.step_weights, config.task
    shots, queries = task.shots, task.queries  # type: ignore[attr-defined]
    plain = nn.Sequential(nn.Linear(1, 40), nn.ReLU(), nn.Linear(40, 40), nn.ReLU(), nn.Linear(40, 1))
    start = list(training("off").learner.parameters())
    apply, loss = network(jax, plain), in_jax(jax, mse)
    adam = optax.adam(optax.linear_schedule(config.algorithm.lr, config.algorithm.lr_end, config.iterations))  # type: ignore[attr-defined]

    def task_loss(parameters: Any, support: Any, query: Any) -> Any:
        total = 0.0
        for k in range(steps):
            gradients = jax.grad(lambda p: loss(apply(p, support[0]), support[1]))(parameters)
            parameters = [p - lr * g for p, g in zip(parameters, gradients, strict=True)]
            total += weights[k] * loss(apply(parameters, query[0]), query[1])
        return total

    def mean_loss(parameters: Any, support: Any, query: Any) -> Any:
        return jax.vmap(task_loss, in_axes=(None, 0, 0))(parameters, support, query).mean()

    def update(parameters: Any, state: Any, x: Any, y: Any) -> Any:
        support, query = (x[:, :shots], y[:, :shots]), (x[:, shots:], y[:, shots:])
        value, gradients = jax.value_and_grad(mean_loss)(parameters, support, query)
        changes, state = adam.update(gradients, state)
        return value, optax.apply_updates(parameters, changes), state

    current = [jax.numpy.asarray(p.detach().numpy()) for p in start]

    def loop() -> Iterator[object]:
        nonlocal current
        state, compiled = adam.init(current), jax.jit(update)
        for iteration in range(config.iterations):
            rng = generator(Stream.TRAIN, config.seed, iteration)
            rng.integers(2**63)  # metarl's seed of torch
            x, y = sample(rng, config.meta_batch, shots + queries)
            value, current, state = compiled(current, state, x, y)
            yield float(value)

    return loop(), lambda: [torch.from_numpy(np.array(p)) for p in current]


def sample(rng: np.random.Generator, tasks: int, points: int) -> tuple[np.ndarray, np.ndarray]:
    """The x and y [tasks, points, 1] that metarl's `Sinusoid` draws, which also draws 100 test points."""
    amplitude, phase = rng.uniform(0.1, 5.0, (tasks, 1, 1)), rng.uniform(0.0, math.pi, (tasks, 1, 1))
    x = rng.uniform(-5.0, 5.0, (tasks, points + 100, 1))[:, :points]
    return x.astype(np.float32), (amplitude * np.sin(x - phase)).astype(np.float32)
