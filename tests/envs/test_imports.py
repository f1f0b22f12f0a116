"""No file of the current directory is run, whatever imports MuJoCo or draws."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from metarl.envs.imports import safe_path

DRAW = """
import gymnasium, metarl.envs
env = gymnasium.make("metarl/HalfCheetahVel-v0", render_mode="rgb_array")
env.reset(seed=0)
try:
    env.render()
except RuntimeError:
    pass  # no OpenGL here: what draws was imported all the same
"""


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A folder with a module named as one of Python's, that leaves a trace when it is run."""
    folder = tmp_path / "hostile"
    folder.mkdir()
    (folder / "ctypes.py").write_text("open('trace', 'w')")
    return folder


def run(command: list[str], folder: Path, **variables: str) -> None:
    clean = {key: value for key, value in os.environ.items() if key not in ("MUJOCO_GL", "PYTHONSAFEPATH")}
    done = subprocess.run(command, cwd=folder, env={**clean, **variables}, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in folder.iterdir()} == {"ctypes.py"}


def test_the_command_line_runs_nothing_of_the_current_directory(hostile: Path) -> None:
    run([str(Path(sys.executable).parent / "metarl"), "train", "sinusoid-maml", "--help"], hostile)


@pytest.mark.parametrize("variables", [{}, {"MUJOCO_GL": "egl"}], ids=["glfw", "egl"])
def test_a_script_elsewhere_that_draws_does_not_either(
    hostile: Path, tmp_path: Path, variables: dict[str, str]
) -> None:
    (tmp_path / "draw.py").write_text(DRAW)
    run([sys.executable, str(tmp_path / "draw.py")], hostile, **variables)


@pytest.mark.parametrize("before", [None, "", "1", "yes"])
def test_the_users_own_setting_stays(before: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    if before is not None:
        monkeypatch.setenv("PYTHONSAFEPATH", before)
    with safe_path():
        assert os.environ["PYTHONSAFEPATH"] == (before or "1")
    assert os.environ.get("PYTHONSAFEPATH") == before
