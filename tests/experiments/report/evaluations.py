"""Evaluation files made by hand, as `metarl evaluate --json` writes them."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from metarl.run.folder import versions


def evaluation(method: str = "maml", training_seed: int = 0, **changes: Any) -> dict[str, Any]:
    """What `metarl evaluate --json` writes: 3 tasks, 0 and 1 gradient steps. `changes`: top-level, or task__hidden."""
    score = float(np.random.default_rng([training_seed, *method.encode()]).normal())
    stored: dict[str, Any] = {
        "run": "0", "preset": f"point-nav-{method}",
        "settings": {
            "task": {"env": "metarl/PointNav-v0", "horizon": None, "hidden": [64, 64]},
            "learner": {"steps": 1, "lr": [0.1, 0.05]},
            "seed": training_seed, "threads": 0, "torch_threads": 2, "iterations": 100,
        },
        "versions": {}, "iteration": 90 + training_seed, "env_steps": 9000 + training_seed,
        "metric": "return", "steps": [0, 1], "goals": [[0.0], [1.0], [2.0]],
        "scores": [[score, score - 20, score + 30], [score + 10, score - 5, score + 40]],
        "random_scores": [[-50.0 - training_seed, -60.0, -70.0], [-49.0 - training_seed, -59.0, -69.0]],
        "tasks": 3, "seed": 0,
    }  # fmt: skip
    for name, value in changes.items():
        *parts, last = ["settings", *name.split("__")] if "__" in name else [name]
        place = stored
        for part in parts:
            place = place[part]
        place[last] = value
    return stored


def config(preset: str = "some-preset", **settings: Any) -> str:
    """A config.json that is enough for pictures."""
    stored = {"run": "0", "made_by": "by hand", "preset": preset, "settings": {"seed": 0} | settings}
    return json.dumps(stored | {"versions": versions()})


def write(folder: Path, *stored: dict[str, Any]) -> list[Path]:
    """The files of `stored`, 0.json, 1.json, …"""
    files = [folder / f"{i}.json" for i in range(len(stored))]
    for file, one in zip(files, stored, strict=True):
        file.write_text(json.dumps(one))
    return files
