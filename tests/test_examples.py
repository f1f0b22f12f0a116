"""The programs in examples/ run, at a smaller size, and leave run folders that every command takes."""

import re
import runpy
import sys
from pathlib import Path

import pytest

from metarl.experiments.cli import main

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))
SMALLER = {
    r"\biterations=\d+": "iterations=4", r"\bmeta_batch=\d+": "meta_batch=2", r"\bnum_tasks=\d+": "num_tasks=5",
    r"\btrajectories=\d+": "trajectories=3", r"\bhorizon=\d+": "horizon=10",
    r"n_eval_episodes=\d+": "n_eval_episodes=1",
}  # fmt: skip


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_and_its_run_folder(
    example: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    code = example.read_text()
    for large, small in SMALLER.items():
        code = re.sub(large, small, code)
    script = tmp_path / example.name
    script.write_text(code)
    monkeypatch.setitem(sys.modules, "__main__", type(sys)("__main__"))
    runpy.run_path(str(script), run_name="__main__")
    (run,) = (tmp_path / "runs").iterdir()
    main(["evaluate", str(run), "--tasks", "3", "--json", str(run / "evaluation.json")])
    main(["compare", str(run), "--csv", str(tmp_path / "table.csv")])
    main(["plot", str(run), "--out", str(tmp_path / "plot.png")])
    main(["train", "--resume", str(run)])
    assert "gradient steps" in capsys.readouterr().out
    assert (tmp_path / "plot.png").stat().st_size > 10_000
