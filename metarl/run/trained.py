"""A loaded run: the trained learner, its validation and test tasks, and the settings of tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from metarl.core import Distribution, Learner
from metarl.evaluation import evaluate_with_info
from metarl.run.checkpoint import Record
from metarl.run.folder import RunFolder
from metarl.train import Stream, generator


@dataclass(frozen=True)
class Tests:
    """The default settings by which a run is validated and tested."""

    seed: int = 0
    """seed of the run, from which validation tasks are drawn"""
    steps: int = 1
    """gradient steps"""
    tasks: int = 100
    """held-out tasks"""
    validation_tasks: int = 100
    """validation tasks on which the best checkpoint is chosen"""
    logged_tasks: int = 100
    """validation tasks on which the scores in the log are computed"""
    chunk: int | None = None
    """tasks adapted at a time"""


@dataclass(frozen=True)
class Trained:
    """A trained run: its folder, its learner with trained weights, and the `tasks` to test it on.

    `untrained(seed)` makes a learner with the random initialisation of this seed.
    """

    folder: RunFolder
    learner: Learner
    tasks: Distribution
    tests: Tests
    untrained: Callable[[int], Learner]
    make_validation: Callable[[], Distribution]

    @property
    def path(self) -> Path:
        """The path of the run folder."""
        return self.folder.path

    @cached_property
    def validation(self) -> Distribution:
        """The tasks on which checkpoints are compared; neither training nor tests use them."""
        return self.make_validation()

    def validate(self) -> dict[str, float]:
        """The mean scores of the learner before and after adaptation, on a fixed set of validation tasks."""
        learner, metric = self.learner, self.validation.metric
        shown = (0, max(1, learner.steps))  # a pre-trained initialisation is also adapted
        scores, info = evaluate_with_info(
            learner, self.validation, steps=shown[1], num_tasks=self.tests.logged_tasks,
            rng=generator(Stream.VALIDATE, self.tests.seed), at=shown, chunk=self.tests.chunk,
        )  # fmt: skip
        named = {metric: scores, **info}
        return {
            f"{name}_{k}": float(np.nanmean(row))
            for name, values in named.items() for k, row in zip(shown, values, strict=True)
        }  # fmt: skip

    def load(self, iteration: int | None = None) -> Record:
        """Load the weights after `iteration` (default: the newest) into the learner; return the checkpoint's record."""
        return self.folder.load_weights(self.learner, iteration=iteration)
