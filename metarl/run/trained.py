"""What a run folder gives back: the trained learner, the tasks to validate and to test it on, and how it is tested."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
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
    """of the run, which says what validation tasks are drawn"""
    steps: int = 1
    """gradient steps"""
    tasks: int = 100
    """held-out tasks"""
    validation_tasks: int = 100
    """tasks that the best checkpoint is chosen by"""
    logged_tasks: int = 100
    """validation tasks behind the scores in the log"""
    chunk: int | None = None
    """tasks adapted at a time"""


@dataclass(frozen=True)
class Trained:
    """A run: its folder, its learner with trained weights, and `tasks` to test it on.

    `untrained(seed)` makes a learner at the random initialisation of that seed.
    """

    folder: RunFolder
    learner: Learner
    tasks: Distribution
    tests: Tests
    untrained: Callable[[int], Learner]
    make_validation: Callable[[], Distribution]

    @property
    def path(self) -> Path:
        """The run folder's path."""
        return self.folder.path

    @cached_property
    def validation(self) -> Distribution:
        """Tasks to choose a checkpoint by, which neither training nor tests see."""
        return self.make_validation()

    def validate(self) -> dict[str, float]:
        """Scores of the learner as it is now on validation tasks, always the same, before and after adaptation."""
        learner, metric = self.learner, self.validation.metric
        shown = (0, max(1, learner.steps))  # a pre-trained initialisation is adapted, too
        scores = evaluate(
            learner, self.validation, steps=shown[1], num_tasks=self.tests.logged_tasks,
            rng=generator(Stream.VALIDATE, self.tests.seed), at=shown, chunk=self.tests.chunk,
        )  # fmt: skip
        return {f"{metric}_{k}": float(row.mean()) for k, row in zip(shown, scores, strict=True)}

    def load(self, iteration: int | None = None) -> Record:
        """Load the weights after `iteration` (None: the newest) into the learner; returns what is behind them."""
        return self.folder.load_weights(self.learner, iteration=iteration)
