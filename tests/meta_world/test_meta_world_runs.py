"""Runs in Meta-World: scripts, the command line, and folders that are loaded again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

metaworld = pytest.importorskip("metaworld", reason="needs Meta-World, with MuJoCo 3.3: `make test-metaworld`")

import metarl as ml  # noqa: E402
from metarl.evaluation import evaluate_with_info  # noqa: E402
from metarl.experiments.cli import main  # noqa: E402

SMALL = (
    "--meta-batch 2 --iterations 1 --checkpoint-every 1 --task.trajectories 2 --task.train-trajectories 2 "
    "--task.horizon 5 --task.hidden 8 --test-tasks 3 --validation-tasks 2 --test-steps 1 --task.workers 1"
)


def test_a_scripts_run_is_loaded_with_the_same_tasks(tmp_path: Path) -> None:
    tasks = ml.tasks.meta_world("ML1", "push-v3", split="test", seed=2, trajectories=2, horizon=5, workers=1)
    outer = ml.TRPO(ml.MAML(ml.nets.GaussianPolicy(39, 4, hidden=(8,)), ml.losses.surrogate))
    run = ml.fit(outer, tasks, iterations=1, meta_batch=2, out=tmp_path / "run")
    again = ml.load(tmp_path / "run")
    drawn = [each.sample(4, np.random.default_rng(0)).given.tolist() for each in (tasks, again.tasks)]
    assert drawn[0] == drawn[1]
    assert {task.data for task in drawn[0]} <= {task.data for task in metaworld.ML1("push-v3", seed=2).test_tasks}
    scores = [evaluate_with_info(each.learner, each.tasks, steps=1, num_tasks=2) for each in (run, again)]
    np.testing.assert_array_equal(scores[0][0], scores[1][0])
    assert scores[0][1].keys() == {"success"}


def test_the_command_line_trains_on_training_tasks_and_tests_on_test_tasks(tmp_path: Path) -> None:
    run, result = tmp_path / "run", tmp_path / "evaluation.json"
    main(["train", "meta-world-reach-maml", *SMALL.split(), "--out", str(run)])
    main(["evaluate", str(run), "--json", str(result)])
    header, row = (run / "progress.csv").read_text().splitlines()
    assert {"return_0", "return_1", "success_0", "success_1"} <= set(header.split(","))
    assert len(row.split(",")) == len(header.split(","))
    benchmark = metaworld.ML1("reach-v3", seed=0)
    loaded = ml.load(run)
    for distribution, tasks in ((loaded.tasks, benchmark.test_tasks), (loaded.validation, benchmark.train_tasks)):
        drawn = distribution.sample(50, np.random.default_rng(0)).given  # type: ignore[attr-defined]
        assert sorted(task.data for task in drawn) == sorted(task.data for task in tasks)
    stored = json.loads(result.read_text())
    assert len(stored["mean"]) == 2
    assert stored["info.success"] == [0.0, 0.0]  # nobody reaches a goal in five steps
