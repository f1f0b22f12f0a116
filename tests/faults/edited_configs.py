"""Edits of a run's config.json that no program would make."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

GONE = object()
Edit = tuple[Any, ...]  # keys, and the value there

WRONG: dict[tuple[str, ...], tuple[Any, ...]] = {
    ("run",): (GONE, None, 5, []),
    ("preset",): (GONE, None, 5, "no-such-preset", "half-cheetah-vel-maml", ["sinusoid-maml"], "../../etc/passwd"),
    ("versions",): (GONE, None, "1.0"),
    ("settings",): (GONE, None, [], "{}", 7, {}),
    ("settings", "task"): (GONE, None, [], "sinusoid", {"nonsense": 1}),
    ("settings", "task", "shots"): (None, 0, -1, 2.5, "5", [5], {"a": 1}, True, 10**30),
    ("settings", "task", "hidden"): (None, 40, "40", [0], [-5], [40, "40"], [[40]], [None], [10**12], {"0": 40}),
    ("settings", "task", "nonsense"): (1,),
    ("settings", "learner"): (GONE, None, [1]),
    ("settings", "learner", "steps"): (None, -1, 1.5, "1", [1], 10**9),
    ("settings", "learner", "lr"): (None, "adapt", -1.0, float("nan"), float("inf"), -float("inf"), ["0.1"], True),
    ("settings", "learner", "first_order"): (None, "yes", 2, []),
    ("settings", "algorithm"): (GONE, None, {"kind": 1}),
    ("settings", "algorithm", "lr"): ("", -0.1, float("nan"), 1e400, {}),
    ("settings", "algorithm", "step_weights"): (None, 1.0, [0, 0], [-1, -1], ["a"], [float("nan")]),
    ("settings", "meta_batch"): (None, 0, -3, 1.5, "25", 10**12, [25]),
    ("settings", "iterations"): (None, 0, -5, 6.5, "6", 10**15, float("inf"), False),
    ("settings", "seed"): (None, -1, 0.5, "zero", 2**70),
    ("settings", "chunk"): (0, -1, "all", 1.5),
    ("settings", "threads"): (None, -1, 10**6, "all"),
    ("settings", "torch_threads"): (None, -1, 100_000, 1.5),
    ("settings", "log_every"): (None, 0, "1"),
    ("settings", "checkpoint_every"): (None, 0, -2, [2]),
    ("settings", "keep"): (None, -1, 1.5),
    ("settings", "test_tasks"): (None, 0, 10**13),
    ("settings", "nonsense"): (1, None),
}


def edits() -> Iterator[Edit]:
    for keys, values in WRONG.items():
        for value in values:
            yield (*keys, value)


def edited(run: Path, edit: Edit) -> None:
    """Make `edit` in the config.json of `run`."""
    *keys, last, value = edit
    config = part = json.loads((run / "config.json").read_text())
    for key in keys:
        part = part[key]
    if value is GONE:
        del part[last]
    else:
        part[last] = value
    (run / "config.json").write_text(json.dumps(config, indent=2))


def shown(edit: Edit) -> str:
    *keys, value = edit
    return f"{'.'.join(keys)} {'gone' if value is GONE else repr(value)}"


EDITS = list(edits())
