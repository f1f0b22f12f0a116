"""Training: sample tasks, collect episodes, update. Random numbers are determined by (seed, iteration)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from enum import IntEnum
from typing import Any

import numpy as np
import torch

from metarl.algorithms.base import Algorithm
from metarl.core import Distribution, Learner, collect
from metarl.ranges import Count, Whole, checked
from metarl.sampling import sample_tasks


class Stream(IntEnum):
    """The purposes of random numbers. The streams of one seed never overlap."""

    INIT = 0
    TRAIN = 1
    VALIDATE = 2
    TEST = 3


@checked
def generator(stream: Stream, seed: Whole, iteration: Whole = 0) -> np.random.Generator:
    """The generator of one iteration. As it has no history, a resumed run equals an uninterrupted one."""
    return np.random.default_rng((stream, seed, iteration))


@checked
def seed_torch(rng: np.random.Generator) -> None:
    """Seed torch's global generators, which initialise weights, from `rng`."""
    seed = int(rng.integers(2**63))
    if torch.accelerator.is_available():
        torch.manual_seed(seed)
    else:  # the same on a CPU, where `manual_seed` spends most of its time on accelerators that are not there
        torch.default_generator.manual_seed(seed)


@checked
def train(
    algorithm: Algorithm,
    distribution: Distribution,
    *,
    iterations: Count,
    meta_batch: Count,
    seed: Whole = 0,
    start: Whole = 0,
) -> Iterator[dict[str, float]]:
    """Yield the metrics of iterations `start` … `iterations` − 1, each after its update.

    `meta_batch` tasks are sampled per iteration. The metrics are those of the tasks (such as returns) and of the
    algorithm, and the seconds of sampling and of the update. Raises ValueError for more tasks than fit into memory.
    """
    for iteration in range(start, iterations):
        rng = generator(Stream.TRAIN, seed, iteration)
        seed_torch(rng)
        begin = time.perf_counter()
        distribution.set_progress(iteration / iterations)
        tasks = sample_tasks(distribution, meta_batch, rng, algorithm.chunk)
        episodes = collect(algorithm.learner, tasks, query=algorithm.uses_query, chunk=algorithm.chunk)
        metrics = tasks.metrics(episodes)
        collected = time.perf_counter()
        metrics.update(algorithm.update(episodes))
        metrics.update(seconds_sampling=collected - begin, seconds_update=time.perf_counter() - collected)
        del tasks, episodes  # free their memory for the next iteration
        yield metrics


class MetaTraining:
    """The training of an outer loop on tasks, in the form that run folders save and resume (`metarl.run`)."""

    @checked
    def __init__(
        self, algorithm: Algorithm, distribution: Distribution, *, iterations: Count, meta_batch: Count, seed: Whole = 0
    ) -> None:
        self.learner: Learner = algorithm.learner
        self.algorithm, self.distribution = algorithm, distribution
        self.iterations, self.meta_batch, self.seed = iterations, meta_batch, seed

    def updates(self, start: int = 0) -> Iterator[dict[str, float]]:
        """The metrics of iterations `start`, `start` + 1, … to the last, each after its update."""
        return train(
            self.algorithm, self.distribution, iterations=self.iterations, meta_batch=self.meta_batch, seed=self.seed,
            start=start,
        )  # fmt: skip

    def state_dict(self) -> dict[str, Any]:
        """The state of the outer loop."""
        return self.algorithm.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore `state_dict`."""
        self.algorithm.load_state_dict(state)
