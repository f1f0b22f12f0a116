"""Reading the files that `metarl evaluate --json` writes, for tables and plots."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np

from metarl.experiments import presets
from metarl.experiments.config.environment import EnvironmentSettings
from metarl.experiments.config.guided import GuidedSettings
from metarl.experiments.config.images import ImagesSettings
from metarl.experiments.config.run import Config
from metarl.experiments.config.sinusoid import SinusoidSettings
from metarl.experiments.evaluation import evaluate_run
from metarl.experiments.report.stored import Stored, write_stored
from metarl.experiments.runner import pick_device
from metarl.ranges import Count, Whole
from metarl.run.display import notify
from metarl.run.folder import CONFIG, RunFolder
from metarl.run.pretrained import resolve_run

EVALUATION = "evaluation.json"  # in a run folder
TASKS, TEST_SEED, GOALS = "number of held-out tasks", "seed of the held-out tasks", "goals"
KINDS = (SinusoidSettings, ImagesSettings, EnvironmentSettings)
INCIDENTAL = {f.name for f in fields(Config) if f.metadata.get("incidental")} | {
    f"{kind.path}.{f.name}" for kind in (*KINDS, GuidedSettings) for f in fields(kind) if f.metadata.get("incidental")
}
METHOD_SETTING = {f.name for kind in KINDS for f in fields(kind) if f.metadata.get("method_setting")}
Scores = Sequence[Sequence[float | None]]  # null if adaptation diverged
Setting = bool | float | str | None | Sequence[bool | float | str]


@dataclass(frozen=True)
class Evaluation:
    """The scores of one run on held-out tasks; nan where adaptation diverged."""

    source: Path
    preset: str
    settings: dict[str, Any]  # "learner.lr": [0.1], …, without those of INCIDENTAL
    task: dict[str, Any]  # what must be equal for scores to be comparable, by the name in error messages
    seed: int  # of training
    iteration: int
    env_steps: int
    metric: str
    steps: tuple[int, ...]  # gradient steps
    tasks: int
    scores: np.ndarray  # [steps, tasks]
    random_scores: np.ndarray


def evaluation_of(run: Path) -> Evaluation:
    """The evaluation of a run folder or of an evaluation file, or of an initialisation "pretrained:NAME".

    A "pretrained:NAME" without an evaluation is evaluated as by `metarl evaluate`. Nothing is written into its folder.
    """
    path = resolve_run(run)
    if path == run or (path / EVALUATION).exists():
        return read_evaluation(path)
    notify(f"evaluating {run} on held-out tasks")
    with TemporaryDirectory() as folder:
        file = Path(folder) / EVALUATION
        write_stored(evaluate_run(str(run), device=pick_device("auto")), file)
        return replace(read_evaluation(file), source=run)


def read_evaluation(path: Path) -> Evaluation:
    """Read the evaluation in the file `path`, or in evaluation.json in the run folder `path`.

    Raises ValueError, with the command that writes the file, if it is missing or damaged, and if the evaluation.json in
    a run folder is the evaluation of another run.
    """
    if path.name == EVALUATION and (path.parent / CONFIG).exists():
        path = path.parent
    file = path / EVALUATION if path.is_dir() else path
    command = f"metarl evaluate {path if path.is_dir() else 'RUN'} --json {file}"
    if not file.exists():
        raise ValueError(f"there is no {file}: write it by `{command}`")
    stored = Stored(file, remedy=f"evaluate again by `{command}`")
    if path.is_dir():
        stored.check_run(RunFolder.open(path).config["run"])
    preset, tasks = stored.value("preset", str), stored.value("tasks", Count)
    settings = settings_of(stored, preset)
    steps = tuple(stored.value("steps", Sequence[Whole]))
    if steps != tuple(range(len(steps))) or not steps:
        raise stored.damaged(f"steps is {list(steps)[:9]}")
    scores, random_scores = (_scores(stored, name, (len(steps), tasks)) for name in ("scores", "random_scores"))
    metric = stored.value("metric", Literal["return", "accuracy", "loss"])
    goals = stored.value("goals", Sequence[Sequence[float | str]] | None, None)
    task = {"metric": metric, **{name: value for name, value in settings.items() if _defines_task(name)}}
    task |= {TASKS: tasks, TEST_SEED: stored.value("seed", Whole), GOALS: goals}
    task |= {"transductive evaluation": stored.value("transductive", bool, True)}
    return Evaluation(
        file, preset, {name: value for name, value in settings.items() if name not in INCIDENTAL}, task,
        settings["seed"], stored.value("iteration", Whole), stored.value("env_steps", Whole), metric, steps, tasks,
        scores, random_scores,
    )  # fmt: skip


def _scores(stored: Stored, name: str, shape: tuple[int, int]) -> np.ndarray:
    """The scores with the key `name`, with nan for null. Raises ValueError if they have another shape."""
    values = stored.value(name, Scores)
    if len(values) != shape[0] or any(len(row) != shape[1] for row in values):
        raise stored.damaged(f"{name} does not have the shape {list(shape)}")
    return np.array(values, dtype=float)


def settings_of(stored: Stored, preset: str) -> dict[str, Any]:
    """The settings of the run by dotted names; those that did not exist when it was made have their class's default."""
    found = stored.value("settings", dict)
    stored.check(Whole, found.get("seed"), "settings.seed")
    complete = dict(found)
    for name, part in vars(presets.preset(preset)).items() if preset in presets.PRESETS else ():
        if is_dataclass(part) and isinstance(found.get(name), dict):
            defaults = {f.name: f.default for f in fields(part) if f.default is not MISSING}
            complete[name] = json.loads(json.dumps(defaults)) | found[name]
    flat = dict(_flat("", complete))
    for name, value in flat.items():
        stored.check(Setting, value, f"settings.{name}")
    return flat


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The values of nested settings with their dotted names. In runs of scripts, they include constructor arguments."""
    nested = value.items() if isinstance(value, dict) else enumerate(value) if _holds_settings(value) else None
    if nested is None:
        yield name, value
        return
    for key, one in nested:
        yield from _flat(f"{name}.{key}".removeprefix("."), one)


def _holds_settings(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(one, dict | list) for one in value)


def _defines_task(name: str) -> bool:
    part, _, rest = name.partition(".")  # "tasks" in the runs of scripts
    return part in ("task", "tasks") and rest not in METHOD_SETTING and name not in INCIDENTAL
