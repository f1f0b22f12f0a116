"""All presets for an environment of one's own: trained, cut off after a checkpoint, resumed, evaluated."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from metarl.experiments.cli import main
from metarl.experiments.presets.environments import METHODS
from metarl.run.load import load

ENV = "own_envs:me/OwnPendulum-v0"
TINY = (
    "--task.env", ENV, "--iterations", "3", "--meta-batch", "3", "--task.train-trajectories", "2",
    "--task.trajectories", "2", "--task.info", "mass", "--task.workers", "1", "--checkpoint-every", "1",
    "--validation-tasks", "2", "--test-tasks", "3",
)  # fmt: skip


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "oracle"
    main(["train", "environment-oracle", *TINY, "--out", str(run)])
    return run


def weights(run: Path) -> bytes:
    return (max((run / "checkpoints").iterdir()) / "weights.safetensors").read_bytes()


@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_resumes_and_is_evaluated(method: str, oracle: Path, tmp_path: Path) -> None:
    whole, cut, file = tmp_path / "whole", tmp_path / "cut", tmp_path / "whole" / "evaluation.json"
    expert = ("--expert", str(oracle)) if method == "gmps" else ()
    main(["train", f"environment-{method}", *TINY, *expert, "--out", str(whole)])
    shutil.copytree(whole, cut)
    for checkpoint in sorted((cut / "checkpoints").iterdir())[1:]:
        shutil.rmtree(checkpoint)
    main(["train", "--resume", str(cut)])
    assert weights(cut) == weights(whole)
    main(["evaluate", str(whole), "--json", str(file)])
    result = json.loads(file.read_text())
    assert result["steps"] == ([0] if method == "oracle" else [0, 1, 2, 3])
    tasks = load(whole).tasks
    sizes = tasks.template.observation_space.shape  # type: ignore[attr-defined]
    assert sizes == ((4,) if method == "oracle" else (3,))
    assert np.isfinite(result["mean"]).all()
