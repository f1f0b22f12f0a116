"""Choosing a checkpoint on validation tasks, and what evaluation then says."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from metarl.experiments import selection
from metarl.experiments.cli import main
from metarl.experiments.evaluation import evaluate_run
from metarl.experiments.selection import load_checkpoint, validate
from metarl.rl.rollout import WorldDistribution
from metarl.run.load import load

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four iterations on the point, a checkpoint each."""
    path = tmp_path_factory.mktemp("runs") / "point"
    sizes = "--iterations 4 --checkpoint-every 1 --meta-batch 3 --task.trajectories 3 --task.horizon 10"
    sizes += " --validation-tasks 4"
    main(["train", "point-nav-2017-promp", "--out", str(path), *sizes.split()])
    return path


def test_the_best_checkpoint_is_the_one_that_scores_best(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = load(run)
    scores = validate(trained)
    assert sorted(scores) == [1, 2, 3, 4]
    assert len(set(scores.values())) == 4
    ranked = sorted(scores, key=lambda k: scores[k])
    assert load_checkpoint(trained, "best").iteration == ranked[-1]
    monkeypatch.setattr(WorldDistribution, "metric", "loss")
    assert load_checkpoint(trained, "best").iteration == ranked[0]
    assert load_checkpoint(trained, "last").iteration == 4
    assert load_checkpoint(trained, "2").iteration == 2
    weights = trained.learner.state_dict()["net.log_std"].clone()
    assert load_checkpoint(trained, "3").iteration == 3
    assert not torch.equal(weights, trained.learner.state_dict()["net.log_std"])


def test_scores_are_kept(run: Path) -> None:
    trained = load(run)
    first = validate(trained)
    file = run / "validation.json"
    stored = json.loads(file.read_text())
    assert (stored["run"], stored["tasks"], stored["steps"]) == (trained.folder.config["run"], 4, 3)
    assert {int(k): v for k, v in stored["scores"].items()} == first
    file.write_text(json.dumps({**stored, "run": "another", "scores": {**first, 2: 1000.0}}))
    with pytest.raises(ValueError, match=r"^[^\n]*validation\.json holds the scores of another run: delete it[^\n]*$"):
        load_checkpoint(trained, "best")
    file.write_text(json.dumps({**stored, "scores": {**first, 2: 1000.0}}))
    assert load_checkpoint(trained, "best").iteration == 2  # read, not scored again
    other = validate(replace(trained, tests=replace(trained.tests, validation_tasks=3)))  # scored again
    assert 1000.0 not in other.values()
    assert json.loads(file.read_text())["tasks"] == 3
    for wrong in (
        {"run": None},
        {"tasks": None},
        {"scores": []},
        {"scores": {"x": 1}},
    ):
        file.write_text(json.dumps({**stored, **wrong}))
        with pytest.raises(ValueError, match=r"^[^\n]*validation\.json is damaged [^\n]* delete it[^\n]*$"):
            validate(trained)
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(ValueError, match="is a pipe, not a file"):
        validate(trained)
    file.unlink()
    file.write_text("{")
    with pytest.raises(ValueError, match=r"validation\.json is damaged .* delete it"):
        validate(trained)
    file.unlink()
    assert validate(trained) == first


@pytest.mark.parametrize("metric", ["return", "loss"])
def test_a_checkpoint_that_diverged_is_never_the_best(run: Path, monkeypatch: pytest.MonkeyPatch, metric: str) -> None:
    """max(…) keeps a NaN that comes first."""
    trained = load(run)
    monkeypatch.setattr(WorldDistribution, "metric", metric)
    file = run / "validation.json"
    before = file.read_text() if file.exists() else None
    scores: dict[int, float | None] = {1: None, 2: 5.0, 3: None, 4: 5.0}
    head = {"run": trained.folder.config["run"], "tasks": 4, "steps": 3}
    file.write_text(json.dumps({**head, "scores": scores}))
    assert load_checkpoint(trained, "best").iteration == 2  # the earlier of two equal ones
    file.write_text(json.dumps({**head, "scores": dict.fromkeys(scores)}))
    with pytest.raises(ValueError, match=r"no checkpoint of .* has a finite score .* train again with a smaller"):
        load_checkpoint(trained, "best")
    file.unlink()
    if before is not None:
        file.write_text(before)


def test_scores_that_diverged_are_kept_as_null(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = load(run)
    monkeypatch.setattr(selection, "evaluate", lambda *_, **__: np.full((4, 2), np.nan))
    file = run / "validation.json"
    file.unlink(missing_ok=True)
    assert np.isnan(list(validate(trained).values())).all()
    assert json.loads(file.read_text())["scores"] == {"1": None, "2": None, "3": None, "4": None}
    assert np.isnan(list(validate(trained).values())).all()  # read
    file.unlink()


def test_unknown_checkpoints(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for asked, said in (("newest", "unknown checkpoint 'newest': choose best"), ("7", "it has 1, 2, 3, 4")):
        with pytest.raises(SystemExit):
            main(["evaluate", str(run), "--checkpoint", asked])
        assert said in capsys.readouterr().err


def test_evaluation_says_what_was_trained_and_every_score(run: Path) -> None:
    result = evaluate_run(run, steps=2, tasks=5, seed=1, checkpoint="3", device=CPU)
    assert result["run"] == json.loads((run / "config.json").read_text())["run"]
    assert result["iteration"] == 3
    assert result["env_steps"] <= 3 * 3 * 3 * 10 * 2  # iterations × tasks × trajectories × steps × (support, query)
    assert result["train_seconds"] > 0
    assert result["settings"]["meta_batch"] == 3
    assert np.shape(result["goals"]) == (5, 2)
    for prefix in ("", "random_"):
        scores = np.array(result[f"{prefix}scores"])
        assert scores.shape == (3, 5)
        np.testing.assert_allclose(scores.mean(1), result[f"{prefix}mean"], rtol=1e-5)
