"""What a run folder gives back: the trained learner, the tasks to validate and to test it on, and how to test it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from metarl.core import Distribution, Learner
from metarl.evaluation import evaluate
from metarl.run.checkpoint import Record
from metarl.run.folder import RunFolder
from metarl.train import Stream, generator


@dataclass(frozen=True)
class Tests:
    """How a run is tested where nothing else is asked for."""

    seed: int = 0
    """of the run"""
    steps: int = 1
    """gradient steps"""
    tasks: int = 100
    """held-out tasks"""
    validation_tasks: int = 100
    """tasks by which the best checkpoint is chosen"""
    logged_tasks: int = 100
    """validation tasks behind the scores in the log"""
    chunk: int | None = None
    """tasks adapted at a time"""


@dataclass(frozen=True)
class Trained:
    """A run: its folder, its learner with trained weights, and its tasks.

    `tasks` are those to test on. `fresh(seed)` makes a learner at the random initialisation of that seed.
    """

    folder: RunFolder
    learner: Learner
    tasks: Distribution
    validation: Distribution
    tests: Tests
    fresh: Callable[[int], Learner]
    record: Record = field(default_factory=lambda: Record(""))
    """what is behind the weights in `learner`"""

    @property
    def path(self) -> Path:
        """The run folder's path."""
        return self.folder.path

    def validate(self) -> dict[str, float]:
        """Scores of `learner` as it is now on validation tasks, always the same, before and after adaptation."""
        steps, metric = max(1, self.learner.steps), self.validation.metric
        scores = evaluate(
            self.learner, self.validation, steps=steps, tasks=self.tests.logged_tasks,
            rng=generator(Stream.VALIDATE, self.tests.seed), at=(0, steps), chunk=self.tests.chunk,
        )  # fmt: skip
        return {f"{metric}_{k}": float(row.mean()) for k, row in zip((0, steps), scores, strict=True)}

    def load(self, iteration: int | None = None) -> Record:
        """Load the weights after `iteration` (None: the newest) into `learner`; returns what is behind them."""
        return self.folder.load_weights(self.learner, iteration=iteration)
