"""Trained initialisations of the package in comparisons and plots: read where they lie, and nothing written there."""

from pathlib import Path

import numpy as np
import pytest
import torch
from evaluations import config

from metarl.experiments.cli import main
from metarl.experiments.evaluation import evaluate_run
from metarl.experiments.report.compare import compare
from metarl.experiments.report.progress import read_run
from metarl.experiments.report.stored import write_stored
from metarl.run.pretrained import FOLDER

NAME = "pretrained:sinusoid-maml"


def files() -> dict[Path, int]:
    """All files among the package's weights, with the times of their last change."""
    return {path: path.stat().st_mtime_ns for path in FOLDER.rglob("*") if path.is_file()}


def test_compare_evaluates_a_trained_initialisation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = files()
    comparison = compare([Path(NAME)])
    trained, random = comparison.rows
    assert f"evaluating {NAME}" in capsys.readouterr().err
    assert files() == before
    result = evaluate_run(NAME, device=torch.device("cpu"))
    assert (trained.name, comparison.metric, comparison.tasks) == ("sinusoid-maml", "loss", len(result["scores"][0]))
    np.testing.assert_allclose(trained.scores[0], result["scores"], rtol=1e-4)
    np.testing.assert_allclose(random.scores[0], result["random_scores"], rtol=1e-4)
    assert 0.2 < trained.mean[-1].value < 0.35  # its page has 0.27 after ten gradient steps
    file = tmp_path / "same.json"
    write_stored(result, file)
    with pytest.raises(ValueError, match=rf"^{NAME} and {file} are both seed 0 of sinusoid-maml: give one of the two$"):
        compare([Path(NAME), file])


def test_plot_takes_the_progress_that_lies_in_the_checkpoint(tmp_path: Path) -> None:
    before = files()
    (stored,) = (FOLDER / "sinusoid-maml").rglob("progress.csv")
    last = stored.read_text().splitlines()[-1].split(",")
    run = read_run(Path(NAME))
    assert (run.preset, run.metric, run.evaluation) == ("sinusoid-maml", "loss", None)
    assert [run.iterations[-1], run.scores[0][-1], run.scores[2][-1]] == [float(last[i]) for i in (0, -2, -1)]
    main(["plot", NAME, "--out", str(tmp_path / "plot.png")])
    assert (tmp_path / "plot.png").stat().st_size > 10_000
    assert files() == before


def test_a_progress_file_that_is_gone_is_read_from_the_newest_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(config())
    for iteration in (1, 2):
        rows = [f"{i},{100 * i},-{9 - i}" for i in range(1, iteration + 1)]
        folder = tmp_path / "checkpoints" / f"{iteration:08d}"
        folder.mkdir(parents=True)
        (folder / "progress.csv").write_text("\n".join(["iteration,env_steps,return_0", *rows]) + "\n")
    assert read_run(tmp_path).scores == {0: [-8.0, -7.0]}
    (tmp_path / "progress.csv").write_text("iteration,env_steps,return_0\n1,100,-5\n")
    assert read_run(tmp_path).scores == {0: [-5.0]}


@pytest.mark.parametrize("command", ["compare", "plot"])
def test_an_unknown_name(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "pretrained:sinusoid-mam", "--out", str(tmp_path / "picture.png")])
    assert "no trained initialisation 'sinusoid-mam': did you mean sinusoid-maml?" in capsys.readouterr().err
