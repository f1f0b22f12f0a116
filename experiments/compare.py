"""Comparison of evaluated runs over seeds and tasks: which method scores how much, and how surely."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from metarl.experiments.evaluated import GOALS, TASKS, TEST_SEED, Evaluation, read_evaluation
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
    """Methods on the same held-out tasks, in the order given, random initialisations last."""

    task: str  # what the presets' names begin with
    metric: str
    tasks: int
    test_seed: int  # of the held-out tasks
    rows: tuple[Row, ...]

    @property
    def intervals(self) -> str:
        """What the intervals are, in words."""
        counts = {len(row.seeds) > 1 for row in self.rows}
        over = ["runs within each task"] * (True in counts) + ["tasks, where there is one run"] * (False in counts)
        return f"95 % intervals of {RESAMPLES:,} bootstrap resamples of {'; of '.join(over)}"


def compare(runs: Sequence[Path]) -> Comparison:
    """The comparison of `runs`, run folders that have an evaluation.json or such files.

    Runs of one preset and equal settings are one row, whatever their training seeds; runs of one preset with other
    settings are another row, named by what differs. A random initialisation is a row for all methods that share it.
    Raises ValueError where runs were evaluated on different tasks, by different metrics or with different seeds of
    the held-out tasks, for a seed given twice, and for a file that is damaged or lacks the scores of each task.
    """
    if not runs:
        raise ValueError("nothing to compare: give one or more run folders, or evaluation files")
    evaluations = [read_evaluation(path) for path in runs]
    for other in evaluations[1:]:
        _check_same_task(evaluations[0], other)
    groups: dict[str, list[Evaluation]] = {}
    for evaluation in evaluations:
        key = json.dumps([evaluation.preset, evaluation.settings], sort_keys=True)
        groups.setdefault(key, []).append(evaluation)
    prefix = _common({evaluation.preset for evaluation in evaluations})
    trained = [_row(group, groups.values(), prefix) for group in groups.values()]
    rows = (*trained, *_random_rows(trained, list(groups.values())))
    name, task = prefix.removesuffix("-") or evaluations[0].preset, evaluations[0].task
    return Comparison(name, task["metric"], tasks=task[TASKS], test_seed=task[TEST_SEED], rows=rows)


def picture(comparison: Comparison, *, references: Mapping[str, Sequence[float]] | None = None) -> Figure:
    """Mean scores against gradient steps; `references` are published ones, {label: [after 0, 1, … steps]}.

    Accuracies, some of which are of methods without gradient steps, are shown method by method, without the random
    initialisations.
    """
    from metarl.experiments.figures import Curve, accuracy_figure, adaptation_figure

    curves = []
    for row in comparison.rows:
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


def _row(group: Sequence[Evaluation], groups: Iterable[Sequence[Evaluation]], prefix: str) -> Row:
    """The row of `group`, whose name begins after `prefix` and tells it from the other `groups` of its preset."""
    group = sorted(group, key=lambda evaluation: evaluation.seed)
    for one, other in pairwise(group):
        both = f"{one.source} and {other.source}"
        if one.seed == other.seed:
            raise ValueError(f"{both} are both seed {one.seed} of {one.preset}: give one of the two")
        if len(one.scores) != len(other.scores):
            counts = f"{len(one.scores) - 1} and {len(other.scores) - 1} gradient steps"
            raise ValueError(f"{both} show {counts}: evaluate them anew with the same --steps")
    first = group[0]
    kin = [other[0].settings for other in groups if other[0].preset == first.preset]
    names = sorted({name for settings in kin for name in settings})
    differing = {n: first.settings.get(n) for n in names if any(s.get(n) != first.settings.get(n) for s in kin)}
    words = [f"{name} {_words(value)}" for name, value in differing.items()]
    return Row(
        name=", ".join([first.preset.removeprefix(prefix), *words]), preset=first.preset, settings=differing,
        seeds=tuple(e.seed for e in group), iterations=tuple(e.iteration for e in group),
        env_steps=tuple(e.env_steps for e in group), scores=np.stack([e.scores for e in group]),
    )  # fmt: skip


def _random_rows(trained: Sequence[Row], groups: Sequence[Sequence[Evaluation]]) -> list[Row]:
    """Random initialisations, each once: one that another has whole, seeds and steps, is not shown again."""
    found: list[tuple[Row, list[str]]] = []
    candidates = []
    for row, group in zip(trained, groups, strict=True):
        scores = np.stack([e.random_scores for e in sorted(group, key=lambda evaluation: evaluation.seed)])
        zeros = (0,) * len(row.seeds)
        candidates.append((row.name, replace(row, iterations=zeros, env_steps=zeros, scores=scores, random=True)))
    for name, row in sorted(candidates, key=lambda candidate: -candidate[1].scores.size):
        same = next((names for other, names in found if _contains(other, row)), None)
        if same is None:
            found.append((row, [name]))
        else:
            same.append(name)
    if len(found) == 1:
        return [replace(found[0][0], name=RANDOM)]
    return [replace(row, name=f"random ({names[0]}{', …' * (len(names) > 1)})") for row, names in found]


def _contains(row: Row, other: Row) -> bool:
    """Whether all scores of `other` are in `row`, seed by seed and step by step."""
    if not set(other.seeds) <= set(row.seeds) or other.scores.shape[1] > row.scores.shape[1]:
        return False
    mine = row.scores[[row.seeds.index(seed) for seed in other.seeds], : other.scores.shape[1]]
    return np.allclose(mine, other.scores, rtol=1e-4, equal_nan=True)


def _common(presets: set[str]) -> str:
    """What the names of several presets, TASK-METHOD, begin with, whole words and a hyphen each; "" for one."""
    if len(presets) == 1:
        return ""
    columns = zip(*(preset.split("-")[:-1] for preset in presets), strict=False)
    return "".join(f"{words[0]}-" for words in takewhile(lambda words: len(set(words)) == 1, columns))


def _words(value: Any) -> str:
    return "/".join(map(str, value)) if isinstance(value, list) else str(value)
