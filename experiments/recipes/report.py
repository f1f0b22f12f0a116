"""The report of a recipe: evaluations, tables and figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from rich.console import Console

from metarl.experiments.recipes.velocity import achieved_velocities
from metarl.experiments.recipes.waves import waves_figure
from metarl.experiments.report.compare import compare, picture
from metarl.experiments.report.evaluated import read_evaluation
from metarl.experiments.report.figures import goal_figure, learning_figure
from metarl.experiments.report.labels import gradient_steps
from metarl.experiments.report.style import LINES, save
from metarl.experiments.report.tables import table, write_csv, write_json
from metarl.files import read_text, write_text

GOAL_STEPS = 3  # number of gradient steps in the figure of velocities


def write_report(
    runs: Mapping[str, Sequence[Path]], results: Path, *, published: Mapping[str, Sequence[float]], device: torch.device
) -> None:
    """Write the report of `runs`, {method: evaluated run folders, one for each seed}, into the folder `results`.

    - METHOD-SEED.json: the evaluations, which `metarl compare` reads
    - table.csv, table.json: the comparison
    - adaptation.png: scores against gradient steps, with the `published` ones
    - learning.png: learning curves, unless there are too many methods to distinguish
    - velocity.png: for goal velocities, the velocities of the first seed of MAML
    - waves.png: for sinusoids, the fitted curves of the first seed of each method
    """
    results.mkdir(parents=True, exist_ok=True)
    every = [path for paths in runs.values() for path in paths]
    comparison = compare(every)
    for path in every:
        write_text(results / f"{path.name}.json", read_text(path / "evaluation.json"))
    Console(width=140).print(table(comparison))
    write_csv(comparison, results / "table.csv")
    write_json(comparison, results / "table.json")
    save(picture(comparison, references=published), results / "adaptation.png")
    trained = {method: paths for method, paths in runs.items() if method != "nearest-neighbour"}
    if len(trained) <= len(LINES):
        save(learning_figure(trained, title=comparison.task), results / "learning.png")
    if "-vel" in comparison.task and "maml" in runs:
        draw_velocities(runs["maml"][0], results / "velocity.png", title=comparison.task, device=device)
    if comparison.task.startswith("sinusoid"):
        firsts = {method: paths[0] for method, paths in runs.items()}
        save(waves_figure(firsts, title=comparison.task, device=device), results / "waves.png")


def draw_velocities(path: Path, out: Path, *, title: str, device: torch.device) -> None:
    """Draw the velocity of the run in `path` for each goal in tests, before and after adaptation."""
    iteration = read_evaluation(path).iteration
    goals, before, after = achieved_velocities(path, steps=GOAL_STEPS, iteration=iteration, device=device)
    reached = {"before adaptation": before, f"after {gradient_steps(GOAL_STEPS)}": after}
    save(goal_figure(goals, reached, title=f"{title}: {path.name}"), out)
