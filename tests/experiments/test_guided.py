"""Guided runs: an oracle is trained, copied into the run that imitates it, and counted; what cannot be is refused."""

import json
import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from metarl.experiments import runner
from metarl.experiments.cli import main
from metarl.experiments.config.guided import GuidedSettings
from metarl.experiments.config.run import Config
from metarl.experiments.config.sinusoid import SinusoidSettings
from metarl.experiments.presets import environments, preset
from metarl.rl.guidance import Guided
from metarl.run.folder import RunFolder
from metarl.run.load import load
from metarl.train import MetaTraining

CPU = torch.device("cpu")
TINY = ("--task.trajectories", "2", "--task.train-trajectories", "2", "--task.horizon", "10", "--torch-threads", "1")
TINY = (*TINY, "--meta-batch", "3", "--checkpoint-every", "1", "--test-tasks", "3", "--validation-tasks", "3")
STEPS = 3 * 10, 3 * 2 * 10 * 3  # an iteration of the oracle; of the run it guides: tasks × trajectories × H × batches


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "oracle"
    main(["train", "point-nav-2017-oracle", *TINY, "--iterations", "2", "--out", str(path)])
    return path


def train(path: Path, expert: Path, *args: str, task: str = "point-nav-2017") -> None:
    main(["train", f"{task}-gmps", *TINY, "--iterations", "3", "--expert", str(expert), "--out", str(path), *args])


def rows(path: Path) -> list[list[str]]:
    return [row.split(",") for row in (path / "progress.csv").read_text().splitlines()]


def test_from_the_oracle_to_scores_and_pictures(oracle: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(run, oracle)
    header, *numbers = rows(run)
    assert header[:5] == ["iteration", "env_steps", "return_0", "return_1", "return_2"]
    spent = int(rows(oracle)[-1][1])  # an episode that ends early is followed by another
    assert spent == 2 * STEPS[0]
    counts = [spent, *(int(row[1]) for row in numbers)]
    assert all(0.9 * STEPS[1] < b - a <= STEPS[1] for a, b in pairwise(counts))  # an episode ends at its goal
    main(["evaluate", str(run), "--json", str(run / "evaluation.json")])
    result = json.loads((run / "evaluation.json").read_text())
    assert result["steps"] == [0, 1, 2, 3]
    assert result["env_steps"] == counts[-1]
    assert result["train_seconds"] >= RunFolder.open(oracle).record(2).seconds
    main(["plot", str(run), "--out", str(tmp_path / "plot.png")])
    assert (tmp_path / "plot.png").exists()


def test_it_goes_on_without_the_oracle_as_if_never_stopped(oracle: Path, tmp_path: Path) -> None:
    lent, whole, stopped = tmp_path / "lent", tmp_path / "whole", tmp_path / "stopped"
    shutil.copytree(oracle, lent)
    for run in (whole, stopped):
        train(run, lent)
    assert (whole / "progress.csv").read_bytes() == (stopped / "progress.csv").read_bytes()
    for checkpoint in RunFolder.open(stopped).checkpoints()[1:]:
        RunFolder.open(stopped).remove(checkpoint)  # as if killed after the first iteration
    shutil.rmtree(lent)
    main(["train", "--resume", str(stopped)])
    assert (whole / "progress.csv").read_bytes() == (stopped / "progress.csv").read_bytes()
    weights = Path("checkpoints") / "00000003" / "weights.safetensors"
    assert (whole / weights).read_bytes() == (stopped / weights).read_bytes()


def test_the_expert_s_labels_are_the_oracle_s_actions(oracle: Path) -> None:
    config = preset("point-nav-2017-gmps")
    config = replace(config, algorithm=GuidedSettings(expert=str(oracle)))
    distribution = config.distribution(CPU)
    training = config.training(runner.new_learner(config, distribution, CPU), distribution, CPU)
    assert isinstance(training, MetaTraining)
    tasks = training.distribution
    assert isinstance(tasks, Guided)
    assert config.algorithm.initial().env_steps == 2 * STEPS[0]
    net = load(oracle).learner.net
    observations, goals = torch.randn(2, 3, 4, 2), torch.tensor([[0.5, 0.1], [-0.2, 0.3]])
    mean, _ = tasks.expert(observations, goals)
    torch.testing.assert_close(mean[1, 2, 3], net(torch.cat([observations[1, 2, 3], goals[1]]))[0])


def test_what_is_no_expert_is_refused_before_a_folder_is_made(
    oracle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, other = tmp_path / "run", tmp_path / "other"
    main(["train", "point-nav-2017-maml", *TINY, "--iterations", "1", "--out", str(other)])
    tries = (
        (["point-nav-2017-gmps"], "--expert DIR"),
        (["point-nav-2017-gmps", "--expert", str(tmp_path / "nowhere")], "not a run folder"),
        (["point-nav-2017-gmps", "--expert", str(other)], "is no expert for PointNav2017"),
        (["ant-dir-2017-gmps", "--expert", str(oracle)], "is no expert for AntDir2017"),
        (["point-nav-2017-gmps", "--expert", str(oracle), "--task.action-scale", "2"], "scales actions by"),
        (["point-nav-2017-gmps", "--expert", str(oracle), "--algorithm.lr", "-1"], "lr"),
        (["point-nav-2017-gmps", "--expert", str(oracle), "--algorithm.step-weights", "1"], "step_weights"),
    )
    for args, said in tries:
        with pytest.raises(SystemExit):
            main(["train", *args, *TINY, "--out", str(run)])
        assert said in " ".join(capsys.readouterr().err.split())
        assert not run.exists()
    with pytest.raises(ValueError, match="Guided, which trains in environments"):
        Config(SinusoidSettings(), preset("sinusoid-maml").learner, GuidedSettings())


def test_presets_are_maml_s_but_for_the_outer_loop() -> None:
    for task in (task.name for task in environments.TASKS if "gmps" in task.methods and task.name != "environment"):
        guided, maml = preset(f"{task}-gmps"), preset(f"{task}-maml")
        assert guided.learner == maml.learner
        assert guided.task.but(gae_schedule=vars(maml.task)["gae_schedule"]) == maml.task
        assert guided.env_steps == maml.env_steps
        assert guided.task.quick(guided).iterations == guided.iterations
