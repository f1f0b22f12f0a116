"""An environment of 25 lines in a file of its own: trained by a script, killed, gone on with, loaded."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from metarl.evaluation import evaluate_with_info
from metarl.run.load import load

ENVIRONMENT = '''
import gymnasium
import numpy as np
from gymnasium.envs.classic_control.pendulum import PendulumEnv
from gymnasium.spaces import Box


class Heavy(PendulumEnv):
    """Gymnasium's pendulum, whose mass (kg) is the task."""

    task_space = Box(0.5, 2.0, (1,), np.float64)

    def reset(self, *, seed=None, options=None):
        self.m = float(options["task"][0])
        return super().reset(seed=seed)

    def step(self, action):
        *rest, info = super().step(action)
        return *rest, {"mass": self.m}


gymnasium.register("me/Heavy-v0", entry_point="heavy:Heavy", max_episode_steps=20)
'''
SCRIPT = """
import sys, torch
import metarl as ml

torch.manual_seed(0)
policy = ml.nets.GaussianPolicy(3, 1, hidden=(8,), activation="tanh")
outer = ml.ProMP(ml.MAML(policy, ml.losses.surrogate, lr=0.1))
tasks = ml.tasks.Environment("heavy:me/Heavy-v0", trajectories=4, info=("mass",), workers=2)
ml.fit(outer, tasks, iterations=8, meta_batch=4, out=sys.argv[1], checkpoint_every=1, log_every=1)
"""


def test_a_run_that_is_killed_ends_as_one_that_never_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "heavy.py").write_text(ENVIRONMENT)
    (tmp_path / "train.py").write_text(SCRIPT)

    def start(out: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "train.py", out], cwd=tmp_path, stderr=subprocess.DEVNULL)

    whole, killed = start("whole"), start("killed")
    deadline = time.monotonic() + 120
    while len(list(tmp_path.glob("killed/checkpoints/*"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    killed.kill()
    assert killed.wait() == -9  # on the way
    assert start("killed").wait(120) == 0
    assert whole.wait(120) == 0
    monkeypatch.chdir(tmp_path)
    try:
        runs = [load(tmp_path / out) for out in ("whole", "killed")]
        states = [run.learner.state_dict() for run in runs]
        assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
        scores, info = evaluate_with_info(runs[1].learner, runs[1].tasks, steps=1, num_tasks=3, rng=5)
        np.testing.assert_array_equal(info["mass"][0], info["mass"][1])
        assert scores.shape == (2, 3)
    finally:
        sys.modules.pop("heavy", None)
    rows = [(tmp_path / out / "progress.csv").read_text().splitlines() for out in ("whole", "killed")]
    masses = [row.split(",")[rows[0][0].split(",").index("mass_1")] for row in rows[0][1:]]
    assert len(masses) == 8
    assert all(0.5 < float(mass) < 2.0 for mass in masses)
    assert masses == [row.split(",")[rows[1][0].split(",").index("mass_1")] for row in rows[1][1:]]
