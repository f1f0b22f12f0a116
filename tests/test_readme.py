"""README's examples run as they stand, at a smaller size."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from metarl.algorithms.descent import Descent
from metarl.evaluation import evaluate
from metarl.losses import cross_entropy
from metarl.nets.mlp import MLP
from metarl.objectives import final
from metarl.tasks.images import ImageClasses, Images
from metarl.train import train

README = (Path(__file__).parent.parent / "README.md").read_text()
SINUSOID, CHEETAH, OWN, LEARNER = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def run(code: str, *smaller: tuple[str, str]) -> dict[str, Any]:
    for old, new in smaller:
        assert old in code
        code = code.replace(old, new)
    names: dict[str, Any] = {}
    exec(code, names)
    return names


@pytest.mark.parametrize("code", [SINUSOID, CHEETAH, OWN, LEARNER])
def test_examples_are_short(code: str) -> None:
    assert len([line for line in code.splitlines() if line]) < 20


def test_maml_on_sinusoids_and_on_a_task_of_ones_own() -> None:
    names = run(SINUSOID, ("iterations=5000", "iterations=300"))
    scores = names["scores"].mean(axis=1)
    assert scores[1] < scores[0]
    lines = run(OWN)["Lines"]()
    losses = [metrics["loss"] for metrics in train(names["outer"], lines, iterations=300, meta_batch=25)]
    assert np.mean(losses[-20:]) < 0.5 * np.mean(losses[:20])


def test_maml_on_half_cheetah_and_stable_baselines(capsys: pytest.CaptureFixture[str]) -> None:
    smaller = (("iterations=100", "iterations=1"), ("meta_batch=20", "meta_batch=2"), ("horizon=100", "horizon=10"))
    names = run(CHEETAH, *smaller, ("evaluate_policy(policy, env)", "evaluate_policy(policy, env, n_eval_episodes=1)"))
    assert names["policy"].predict(names["env"].reset()[0])[0].shape == (6,)
    assert len(capsys.readouterr().out.splitlines()) >= 2


def test_a_learner_of_ones_own() -> None:
    torch.manual_seed(0)
    learner = run(LEARNER)["CosineProtoNet"](MLP(16, 8), ways=3)
    rng = np.random.default_rng(0)
    patterns = np.repeat(rng.integers(0, 200, (12, 1, 4, 4)), 8, axis=0)
    images = torch.from_numpy((patterns + rng.integers(0, 56, patterns.shape)).astype(np.uint8))
    classes = ImageClasses(images, tuple("abcdefghijkl"), np.full(12, 8))
    tasks = Images(classes, ways=3, queries=5)
    learner.encoder = nn.Sequential(nn.Flatten(), learner.encoder)
    outer = Descent(learner, final(cross_entropy), optimizer=lambda p: torch.optim.Adam(p, lr=0.01))
    losses = [metrics["loss"] for metrics in train(outer, tasks, iterations=60, meta_batch=8)]
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:5])
    assert evaluate(learner, tasks, steps=1, num_tasks=50, rng=np.random.default_rng(1))[1].mean() > 0.9
