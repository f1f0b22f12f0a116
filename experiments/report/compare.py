"""Comparison of the scores of evaluated runs, with confidence intervals over seeds and tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from metarl.experiments.report.evaluated import GOALS, TASKS, TEST_SEED, Evaluation, evaluation_of
from metarl.experiments.report.groups import Group, common, grouped
from metarl.statistics import Estimate, Statistic, estimate, interquartile_mean, mean

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RESAMPLES = 2000
RANDOM = "random initialisation"


@dataclass(frozen=True)
class Row:
    """One method with all its seeds."""

    name: str
    preset: str
    settings: dict[str, Any]  # those that differ between the rows of this preset
    seeds: tuple[int, ...]
    iterations: tuple[int, ...]  # of each seed's checkpoint
    env_steps: tuple[int, ...]  # environment steps of each seed's training; 0 in supervised runs
    scores: np.ndarray  # [seeds, steps + 1, tasks]
    random: bool = False

    @cached_property
    def mean(self) -> list[Estimate]:
        """The mean score after 0, 1, … gradient steps with its interval; nan if a run diverged."""
        return self._estimates(mean)

    @cached_property
    def iqm(self) -> list[Estimate]:
        """The interquartile mean of the scores, in the same form as `mean`."""
        return self._estimates(interquartile_mean)

    @property
    def seed_means(self) -> np.ndarray:
        """The mean score of each seed, [steps + 1, seeds]."""
        return self.scores.mean(axis=2).T

    def _estimates(self, statistic: Statistic) -> list[Estimate]:
        """The statistic for each number of steps. The same resamples are used for each, whatever the table contains."""
        steps = self.scores.swapaxes(0, 1)
        return [estimate(s, statistic, rng=np.random.default_rng(0), resamples=RESAMPLES) for s in steps]


@dataclass(frozen=True)
class Comparison:
    """The scores of several methods on the same held-out tasks, followed by those of random initialisations."""

    task: str  # the common beginning of the presets' names
    metric: str
    tasks: int
    test_seed: int  # of the held-out tasks
    rows: tuple[Row, ...]  # in the order in which the runs are given

    @property
    def shown(self) -> list[Row]:
        """The rows that tables and figures show: all methods, and the random initialisation of the first method."""
        random = [row for row in self.rows if row.random]
        return [row for row in self.rows if not row.random] + random[:1]

    @property
    def intervals(self) -> str:
        """A description of the intervals."""
        counts = {len(row.seeds) > 1 for row in self.rows}
        over = ["runs within each task"] * (True in counts) + ["tasks, where there is one run"] * (False in counts)
        return f"95 % intervals of {RESAMPLES:,} bootstrap resamples of {'; of '.join(over)}"


def compare(runs: Sequence[Path]) -> Comparison:
    """Compare `runs`: run folders with an evaluation.json, such files, or "pretrained:NAME".

    Trained initialisations in the package that have no evaluation are evaluated first. Each row is a method with all
    its seeds (see `grouped`). A random initialisation that several methods share has one row. Raises ValueError if runs
    were evaluated on different tasks, with different metrics or with different seeds of the held-out tasks, for a
    seed that is given twice, and for a file that is damaged or lacks the scores of each task.
    """
    if not runs:
        raise ValueError("nothing to compare: give one or more run folders, or evaluation files")
    evaluations = [evaluation_of(path) for path in runs]
    for other in evaluations[1:]:
        _check_same_task(evaluations[0], other)
    trained, random = rows_of(grouped(evaluations))
    prefix = common({evaluation.preset for evaluation in evaluations})
    name, task = prefix.removesuffix("-") or evaluations[0].preset, evaluations[0].task
    return Comparison(name, task["metric"], tasks=task[TASKS], test_seed=task[TEST_SEED], rows=(*trained, *random))


def picture(comparison: Comparison, *, references: Mapping[str, Sequence[float]] | None = None) -> Figure:
    """A figure of mean scores against gradient steps.

    `references` are published scores {label: [after 0, 1, … steps]}. The figure for accuracies, which includes methods
    without gradient steps, has one line for each method and no random initialisations.
    """
    from metarl.experiments.report.figures import Curve, accuracy_figure, adaptation_figure

    curves = []
    for row in comparison.shown:
        value, low, high = zip(*row.mean, strict=True)
        curves.append(Curve(row.name, value, low, high, random=row.random))
    intervals = comparison.intervals.replace("; ", ";\n")  # two lines if methods have different intervals
    title = f"{comparison.task}, {comparison.tasks} held-out tasks\n{intervals}"
    if comparison.metric == "accuracy":
        return accuracy_figure([curve for curve in curves if not curve.random], title=title)
    return adaptation_figure(curves, metric=comparison.metric, title=title, references=references)


def _check_same_task(one: Evaluation, other: Evaluation) -> None:
    for name in one.task | other.task:
        a, b = one.task.get(name), other.task.get(name)
        if a != b:
            what = "the goals of their held-out tasks differ" if name == GOALS else f"their {name} is {a} and {b}"
            raise ValueError(f"{one.source} and {other.source} cannot be compared, {what}: compare them separately")


def rows_of(groups: Sequence[Group[Evaluation]]) -> tuple[list[Row], list[Row]]:
    """The rows of the groups, and the rows of their random initialisations, beginning with that of the first group.

    Raises ValueError if the runs of a group were evaluated with different numbers of gradient steps.
    """
    trained = [_row(group) for group in groups]
    return trained, _random_rows(trained, groups)


def _row(group: Group[Evaluation]) -> Row:
    for one, other in pairwise(group.runs):
        if len(one.scores) != len(other.scores):
            counts = f"{len(one.scores) - 1} and {len(other.scores) - 1} gradient steps"
            raise ValueError(f"{one.source}, {other.source} have {counts}: evaluate them again with the same --steps")
    return Row(
        name=group.name, preset=group.preset, settings=group.settings, seeds=tuple(e.seed for e in group.runs),
        iterations=tuple(e.iteration for e in group.runs), env_steps=tuple(e.env_steps for e in group.runs),
        scores=np.stack([e.scores for e in group.runs]),
    )  # fmt: skip


def _random_rows(trained: Sequence[Row], groups: Sequence[Group[Evaluation]]) -> list[Row]:
    """The rows of random initialisations, without those whose scores another row contains.

    Random initialisations differ if the methods have different networks or inner loops.
    """
    found: list[tuple[Row, list[int]]] = []
    for i in sorted(range(len(groups)), key=lambda i: -groups[i].runs[0].scores.size * len(groups[i].runs)):
        scores, zeros = np.stack([e.random_scores for e in groups[i].runs]), (0,) * len(groups[i].runs)
        row = replace(trained[i], iterations=zeros, env_steps=zeros, scores=scores, random=True)
        same = next((sharing for other, sharing in found if _contains(other, row)), None)
        if same is None:
            found.append((row, [i]))
        else:
            same.append(i)
    found.sort(key=lambda pair: min(pair[1]))
    if len(found) == 1:
        return [replace(found[0][0], name=RANDOM)]
    return [
        replace(row, name=f"{RANDOM} ({trained[min(sharing)].name}{', …' * (len(sharing) > 1)})")
        for row, sharing in found
    ]


def _contains(row: Row, other: Row) -> bool:
    """Whether `row` contains the scores of `other` for all its seeds and numbers of steps."""
    if not set(other.seeds) <= set(row.seeds) or other.scores.shape[1] > row.scores.shape[1]:
        return False
    mine = row.scores[[row.seeds.index(seed) for seed in other.seeds], : other.scores.shape[1]]
    return np.allclose(mine, other.scores, rtol=1e-4, equal_nan=True)
