"""What a whole iteration costs, and which part of it is simulation, advantages, adaptation and update."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import perf_counter

import torch

from metarl.core import Predictor, adapt, collect
from metarl.experiments.benchmark.measure import Report, Timing
from metarl.experiments.benchmark.sampling import yardstick
from metarl.experiments.config.run import Config
from metarl.experiments.config.settings import Device, Number
from metarl.experiments.presets import preset
from metarl.experiments.runner import new_learner, pick_device
from metarl.ranges import Settings
from metarl.rl.advantages import advantages
from metarl.train import Stream, generator

if sys.platform != "win32":
    import resource


@dataclass(frozen=True)
class Iteration(Settings):
    """One iteration at the paper's full scale: the share of simulation, advantages, adaptation and update."""

    presets: tuple[str, ...] = ("half-cheetah-vel-2017-maml", "half-cheetah-vel-2017-promp")
    tasks: Number = 40
    trajectories: Number = 20
    repeats: Number = 5
    exact: bool = True
    """also with Hessian products over all samples, where there is a trust region"""
    device: Device = "auto"
    json: Path | None = None

    def run(self) -> list[Report]:
        """Time `repeats` iterations of each preset after one that does not count."""
        kinds = []
        for name in self.presets:
            config = sized(name, tasks=self.tasks, trajectories=self.trajectories)
            kinds.append((name, config))
            if self.exact and hasattr(config.algorithm, "curvature_every"):
                all_samples = replace(config, algorithm=config.algorithm.but(curvature_every=(1, 1)))
                kinds.append((f"{name}, exact Hessian products", all_samples))
        return [report(name, config, repeats=self.repeats, device=self.device) for name, config in kinds]


def sized(name: str, *, tasks: int, trajectories: int) -> Config:
    """The settings of preset `name` at another size; the MAML paper's is 40 tasks × 20 trajectories."""
    config = preset(name)
    if not config.task.episodes:
        raise ValueError(f"{name} does not simulate: choose a locomotion preset")
    return replace(config, meta_batch=tasks, task=config.task.but(train_trajectories=trajectories))


def report(name: str, config: Config, *, repeats: int, device: str) -> Report:
    """Seconds of an iteration and of its parts, and how fast the machine was before and after."""
    before = yardstick()
    parts = measure(config, repeats=repeats, device=device)
    after = yardstick()
    steps = config.env_steps
    out = Report(f"{name}: {config.meta_batch} tasks, {steps:,} environment steps", "environment steps")
    for part, seconds in parts.items():
        out.add(part, Timing(median(seconds), min(seconds), max(seconds)), work=steps)
    total = out.rows[0].timing.median
    for row in out.rows[1:]:
        out.notes.append(f"{row.name}: {row.timing.median / total:.0%} of the iteration")
    out.notes.append(
        f"the machine, before and after: {before / 1000:.1f} and {after / 1000:.1f} thousand steps of half-cheetah a "
        "second (random controls, MuJoCo as it is)"
    )
    out.notes.append(f"peak memory of the process so far: {peak_memory():.2f} GiB")
    return out


def measure(config: Config, *, repeats: int, device: str) -> dict[str, list[float]]:
    """Seconds of the parts of `repeats` iterations: "iteration" first, which the others add up to."""
    where = pick_device(device)
    distribution = config.distribution(where)
    learner = new_learner(config, distribution, where)
    algorithm = config.outer_loop(learner)
    parts: dict[str, list[float]] = {}
    for iteration in range(repeats + 1):
        marks = [perf_counter()]

        def mark() -> None:
            if where.type == "cuda":
                torch.cuda.synchronize()
            marks.append(perf_counter())  # noqa: B023

        tasks = distribution.sample(config.meta_batch, generator(Stream.TRAIN, config.seed, iteration))
        episodes = collect(learner, tasks, query=algorithm.uses_query, chunk=config.chunk)
        mark()
        algorithm.update(episodes)
        mark()
        rollouts = [*episodes.support, *([episodes.query] if episodes.query else [])]
        for rollout in rollouts:  # again, alone, to know its share of collecting
            advantages(rollout.observations, rollout.rewards, rollout.mask)
        mark()
        predict: Predictor = next(adapt(learner, tasks, steps=0, chunk=config.chunk))[0]
        for k, batch in enumerate(episodes.support):
            predict = predict.after(batch, k)
        _ = predict.states
        mark()
        collected, updated, advantage, adapted = (b - a for a, b in pairwise(marks))
        del rollouts, rollout, batch, predict, episodes, tasks
        if iteration:
            seconds = {
                "iteration": collected + updated,
                "simulation and policies": collected - advantage - adapted,
                "advantages": advantage,
                "inner steps": adapted,
                "update": updated,
            }
            for part, value in seconds.items():
                parts.setdefault(part, []).append(value)
    return parts


def peak_memory() -> float:
    """The most memory this process has had, GiB."""
    if sys.platform == "win32":
        return float("nan")
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30
