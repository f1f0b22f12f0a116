"""The duration of an iteration of meta-RL, and of its parts: simulation, advantages, adaptation and update."""

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
from metarl.experiments.benchmark.sampling import machine_speed
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
    """The duration of an iteration at the size in the MAML paper, and of its simulation, adaptation and update."""

    presets: tuple[str, ...] = ("half-cheetah-vel-2017-maml", "half-cheetah-vel-2017-promp")
    """presets that are measured, of tasks in environments"""
    tasks: Number = 40
    """number of tasks per iteration"""
    trajectories: Number = 20
    """number of trajectories per task in each batch"""
    repeats: Number = 5
    """number of iterations that are measured, after one that is not"""
    exact: bool = True
    """whether trust regions are also measured with Hessian-vector products over all samples"""
    device: Device = "auto"
    """device of torch; auto: a GPU if there is one"""
    json: Path | None = None
    """JSON file to which the results are written"""

    def run(self) -> list[Report]:
        """Measure `repeats` iterations of each preset, after one that is not measured."""
        kinds = []
        for name in self.presets:
            config = sized(name, tasks=self.tasks, trajectories=self.trajectories)
            kinds.append((name, config))
            if self.exact and hasattr(config.algorithm, "curvature_every"):
                all_samples = replace(config, algorithm=config.algorithm.but(curvature_every=(1, 1)))
                kinds.append((f"{name}, exact Hessian products", all_samples))
        return [report(name, config, repeats=self.repeats, device=self.device) for name, config in kinds]


def sized(name: str, *, tasks: int, trajectories: int) -> Config:
    """The settings of preset `name` with other numbers of tasks and trajectories; in the MAML paper, 40 and 20."""
    config = preset(name)
    if not config.task.episodes:
        raise ValueError(f"the tasks of {name} are supervised: choose a preset with an environment")
    return replace(config, meta_batch=tasks, task=config.task.but(train_trajectories=trajectories))


def report(name: str, config: Config, *, repeats: int, device: str) -> Report:
    """Measure an iteration and its parts, and the speed of the machine before and after."""
    before = machine_speed()
    parts = measure(config, repeats=repeats, device=device)
    after = machine_speed()
    steps = config.env_steps
    out = Report(f"{name}: {config.meta_batch} tasks, {steps:,} environment steps", "environment steps")
    for part, seconds in parts.items():
        out.add(part, Timing(median(seconds), min(seconds), max(seconds)), work=steps)
    total = out.rows[0].timing.median
    for row in out.rows[1:]:
        out.notes.append(f"{row.name}: {row.timing.median / total:.0%} of the iteration")
    out.notes.append(
        f"speed of the machine before and after: {before / 1000:.1f} and {after / 1000:.1f} thousand steps of "
        "half-cheetahs per second (random controls, physics only)"
    )
    out.notes.append(f"peak memory of the process so far: {peak_memory():.2f} GiB")
    return out


def measure(config: Config, *, repeats: int, device: str) -> dict[str, list[float]]:
    """The durations, in seconds, of `repeats` iterations (the key "iteration") and of their parts (the other keys)."""
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
        for rollout in rollouts:  # once more, because `collect` does not measure its parts
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
    """The peak memory of this process, in GiB."""
    if sys.platform == "win32":
        return float("nan")
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30
