"""Comparison of evaluated runs over seeds and tasks: which method scores how much, and how surely."""

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
    """One method, its seeds pooled."""

    name: str
    preset: str
    settings: dict[str, Any]  # that tell it from other rows of its preset
    seeds: tuple[int, ...]
    iterations: tuple[int, ...]  # of each seed's checkpoint
    env_steps: tuple[int, ...]  # trained, each seed; 0 in supervised runs
    scores: np.ndarray  # [seeds, steps + 1, tasks]
    random: bool = False

    @cached_property
    def mean(self) -> list[Estimate]:
        """The mean score after 0, 1, … gradient steps, with its interval; nan where a run diverged."""
        return self._estimates(mean)

    @cached_property
    def iqm(self) -> list[Estimate]:
        """The interquartile mean, likewise."""
        return self._estimates(interquartile_mean)

    @property
    def seed_means(self) -> np.ndarray:
        """Each seed's mean score: [steps + 1, seeds]."""
        return self.scores.mean(axis=2).T

    def _estimates(self, statistic: Statistic) -> list[Estimate]:
        """Every number of steps is resampled alike, whatever else is in the table."""
        steps = self.scores.swapaxes(0, 1)
        return [estimate(s, statistic, rng=np.random.default_rng(0), resamples=RESAMPLES) for s in steps]


@dataclass(frozen=True)
class Comparison:
    """Methods on the same held-out tasks, in the order given; then random initialisations, the first method's first."""

    task: str  # what the presets' names begin with
    metric: str
    tasks: int
    test_seed: int  # of the held-out tasks
    rows: tuple[Row, ...]

    @property
    def shown(self) -> list[Row]:
        """The rows for people to read: of random initialisations only the first method's."""
        random = [row for row in self.rows if row.random]
        return [row for row in self.rows if not row.random] + random[:1]

    @property
    def intervals(self) -> str:
        """What the intervals are, in words."""
        counts = {len(row.seeds) > 1 for row in self.rows}
        over = ["runs within each task"] * (True in counts) + ["tasks, where there is one run"] * (False in counts)
        return f"95 % intervals of {RESAMPLES:,} bootstrap resamples of {'; of '.join(over)}"


def compare(runs: Sequence[Path]) -> Comparison:
    """The comparison of `runs`: run folders that have an evaluation.json, such files, or "pretrained:NAME".

    A trained initialisation that comes with the package without an evaluation is evaluated for it. A row is a group of
    `grouped`, a method whose seeds are pooled. A random initialisation is a row for all methods that share it. Raises
    ValueError where runs were evaluated on different tasks, by different metrics or with different seeds of the
    held-out tasks, for a seed given twice, and for a file that is damaged or lacks the scores of each task.
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
    """Mean scores against gradient steps; `references` are published ones, {label: [after 0, 1, … steps]}.

    Accuracies, some of which are of methods without gradient steps, are shown method by method, without the random
    initialisations.
    """
    from metarl.experiments.report.figures import Curve, accuracy_figure, adaptation_figure

    curves = []
    for row in comparison.shown:
        value, low, high = zip(*row.mean, strict=True)
        curves.append(Curve(row.name, value, low, high, random=row.random))
    intervals = comparison.intervals.replace("; ", ";\n")  # where methods differ in them, a line would be too long
    title = f"{comparison.task}, {comparison.tasks} held-out tasks\n{intervals}"
    if comparison.metric == "accuracy":
        return accuracy_figure([curve for curve in curves if not curve.random], title=title)
    return adaptation_figure(curves, metric=comparison.metric, title=title, references=references)


def _check_same_task(one: Evaluation, other: Evaluation) -> None:
    for name in one.task | other.task:
        a, b = one.task.get(name), other.task.get(name)
        if a != b:
            what = "the goals of their held-out tasks differ" if name == GOALS else f"their {name} is {a} and {b}"
            raise ValueError(f"{one.source} and {other.source} share no table, {what}: compare them apart")


def rows_of(groups: Sequence[Group[Evaluation]]) -> tuple[list[Row], list[Row]]:
    """A row a group; and their random initialisations, each once, that of the first group first.

    Raises ValueError where runs of a group show other numbers of gradient steps.
    """
    trained = [_row(group) for group in groups]
    return trained, _random_rows(trained, groups)


def _row(group: Group[Evaluation]) -> Row:
    for one, other in pairwise(group.runs):
        if len(one.scores) != len(other.scores):
            counts = f"{len(one.scores) - 1} and {len(other.scores) - 1} gradient steps"
            raise ValueError(f"{one.source} and {other.source} show {counts}: evaluate them anew with the same --steps")
    return Row(
        name=group.name, preset=group.preset, settings=group.settings, seeds=tuple(e.seed for e in group.runs),
        iterations=tuple(e.iteration for e in group.runs), env_steps=tuple(e.env_steps for e in group.runs),
        scores=np.stack([e.scores for e in group.runs]),
    )  # fmt: skip


def _random_rows(trained: Sequence[Row], groups: Sequence[Group[Evaluation]]) -> list[Row]:
    """Random initialisations, each once: one that another has whole, seeds and steps, is not shown again.

    They differ where methods differ in the net or in the inner loop that adapts it.
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
    """Whether all scores of `other` are in `row`, seed by seed and step by step."""
    if not set(other.seeds) <= set(row.seeds) or other.scores.shape[1] > row.scores.shape[1]:
        return False
    mine = row.scores[[row.seeds.index(seed) for seed in other.seeds], : other.scores.shape[1]]
    return np.allclose(mine, other.scores, rtol=1e-4, equal_nan=True)
