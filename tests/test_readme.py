"""README's examples run as they stand, at a smaller size."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metarl.train import train

README = (Path(__file__).parent.parent / "README.md").read_text()
SINUSOID, CHEETAH, OWN = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def run(code: str, *smaller: tuple[str, str]) -> dict[str, Any]:
    for old, new in smaller:
        assert old in code
        code = code.replace(old, new)
    names: dict[str, Any] = {}
    exec(code, names)
    return names


@pytest.mark.parametrize("code", [SINUSOID, CHEETAH, OWN])
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
