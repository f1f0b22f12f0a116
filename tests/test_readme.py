"""README is one screen, its first example is short, and its code and commands are what the package understands."""

import re
import shlex
from pathlib import Path

import pytest

from metarl.experiments.cli import parse

README = (Path(__file__).parent.parent / "README.md").read_text()
FIRST, SECOND = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
COMMANDS = [line.partition("#")[0].strip() for line in re.findall(r"^\$ (metarl .*)$", README, re.MULTILINE)]
SMALLER = {
    "iterations=5000": "iterations=300", "num_tasks=600": "num_tasks=50", "iterations=50": "iterations=1",
    "meta_batch=20": "meta_batch=2", "trajectories=10, horizon=100": "trajectories=3, horizon=10",
}  # fmt: skip


def test_one_screen() -> None:
    assert len(README.splitlines()) <= 150


def test_the_first_example_is_short() -> None:
    lines = [line for line in FIRST.splitlines() if line]
    imports = [line for line in lines if line.startswith(("import ", "from "))]
    assert len(imports) <= 2
    assert len(lines) - len(imports) <= 8


def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = FIRST + SECOND
    for large, small in SMALLER.items():
        assert large in code
        code = code.replace(large, small)
    names: dict[str, object] = {}
    exec(code, names)
    scores = names["scores"].mean(axis=1)  # type: ignore[attr-defined]
    assert (len(scores), scores[1] < scores[0]) == (11, True)
    action, _ = names["policy"].predict([0.0] * 17)  # type: ignore[attr-defined]
    assert action.shape == (6,)
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {"sine", "cheetah"}


@pytest.mark.parametrize("line", COMMANDS)
def test_the_commands_are_understood(line: str) -> None:
    parse(shlex.split(line)[1:])
