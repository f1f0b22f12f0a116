"""Few-shot images from the command line: which split serves what, and that a task is learned."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

from metarl.experiments.cli import main
from metarl.experiments.presets import PRESETS, preset
from metarl.experiments.report.progress import read_run


def test_each_split_serves_its_purpose_and_the_task_is_learned(asked: list[tuple[object, ...]], tmp_path: Path) -> None:
    run, file = tmp_path / "run", tmp_path / "evaluation.json"
    sizes = "--iterations 12 --log-every 6 --checkpoint-every 6 --meta-batch 4 --task.filters 8 --task.queries 5"
    sizes += " --task.pretraining 3"
    main(["train", "omniglot-small-5way-1shot-maml", "--data", "here", *sizes.split(), "--out", str(run)])
    assert {split for _, split, _ in asked} == {"train", "validation", "test"}  # all must be there before training
    assert set(asked[0]) == {Path("here").absolute(), "train", "small"}
    assert read_run(run).metric == "accuracy"
    asked.clear()
    moved = str(tmp_path / "moved")  # the images, after training
    main(["evaluate", str(run), "--checkpoint", "best", "--tasks", "20", "--json", str(file), "--data", moved])
    assert {split for _, split, _ in asked} == {"validation", "test"}
    assert {data for data, _, _ in asked} == {Path(moved)}
    result = json.loads(file.read_text())
    assert result["metric"] == "accuracy"
    scores = np.array(result["scores"])
    assert scores.shape == (4, 20)
    assert ((scores >= 0) & (scores <= 1)).all()
    assert abs(scores[0].mean() - 0.2) < 0.15  # chance, before adaptation
    assert scores[3].mean() > 0.6
    main(["evaluate", str(run), "--no-transductive", "--tasks", "20", "--json", str(file)])
    alone = json.loads(file.read_text())
    assert (result["transductive"], alone["transductive"]) == (True, False)
    assert alone["scores"] != result["scores"]
    assert alone["mean"][3] > 0.4


@pytest.mark.parametrize("name", [name for name in PRESETS if name.startswith("omniglot-20way-1shot")])
@pytest.mark.usefixtures("asked")
def test_every_method_trains(name: str, tmp_path: Path) -> None:
    sizes = "--iterations 1 --meta-batch 2 --task.queries 2 --task.ways 3 --task.filters 4"
    sizes += " --task.pretraining 1" if preset(name).task.pretraining else ""
    steps = ["--learner.steps", "1"] if "steps" in vars(preset(name).learner) else []
    ways = ["--task.train-ways", "4"] if name.endswith("protonet") else []
    main(["train", name, *sizes.split(), *steps, *ways, "--out", str(tmp_path / "run")])
    assert len((tmp_path / "run" / "progress.csv").read_text().splitlines()) == 2


@pytest.mark.parametrize("architecture", ["mlp", "resnet12"])
@pytest.mark.parametrize("method", ["maml", "anil", "protonet", "bayesian-maml"])
@pytest.mark.usefixtures("asked")
def test_other_nets_train(architecture: str, method: str, tmp_path: Path) -> None:
    run, sizes = tmp_path / "run", "--iterations 2 --meta-batch 1 --task.queries 1 --task.ways 2 --test-tasks 2"
    sizes += " --task.train-queries 1 --task.pretraining 0"
    ways = ["--task.train-ways", "3"] if method == "protonet" else ["--learner.steps", "1"]
    net = ["--task.architecture", architecture]
    main(["train", f"omniglot-5way-1shot-{method}", *sizes.split(), *net, *ways, "--out", str(run)])
    main(["evaluate", str(run), "--steps", "0", "--json", str(run / "evaluation.json")])
    weights = load_file(next((run / "checkpoints").iterdir()) / "weights.safetensors")
    assert any(("shortcut" if architecture == "resnet12" else "norms.3") in name for name in weights)


@pytest.mark.parametrize("method", ["relation", "cavia"])
@pytest.mark.usefixtures("asked")
def test_methods_inside_conv4_say_so(method: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    preset = f"omniglot-5way-1shot-{method}"
    with pytest.raises(SystemExit):
        main(["train", preset, "--task.architecture", "mlp", "--out", str(tmp_path / "run")])
    assert f"{method} needs the layers of Conv4: train it with --task.architecture conv4" in capsys.readouterr().err


@pytest.mark.usefixtures("asked")
def test_a_method_without_parameters_a_class_trains_with_more_ways(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, name = tmp_path / "run", "omniglot-5way-1shot"
    sizes = "--iterations 4 --log-every 2 --meta-batch 2 --task.filters 8 --task.queries 3 --task.train-ways 9"
    sizes += " --task.train-queries 3"
    main(["train", f"{name}-protonet", *sizes.split(), "--test-tasks", "20", "--out", str(run)])
    main(["evaluate", str(run), "--json", str(run / "evaluation.json")])
    assert json.loads((run / "evaluation.json").read_text())["mean"][0] > 0.3
    with pytest.raises(SystemExit):
        main(["train", f"{name}-maml", "--task.train-ways", "9", "--out", str(tmp_path / "maml")])
    assert "train_ways" in capsys.readouterr().err


@pytest.mark.usefixtures("asked")
def test_what_has_nothing_to_learn_is_evaluated(tmp_path: Path) -> None:
    run = tmp_path / "run"
    sizes = "--task.queries 3 --test-tasks 20 --validation-tasks 5"
    main(["train", "omniglot-5way-1shot-nearest-neighbour", "--quick", *sizes.split(), "--out", str(run)])
    main(["evaluate", str(run), "--checkpoint", "best", "--json", str(run / "evaluation.json")])
    result = json.loads((run / "evaluation.json").read_text())
    assert result["steps"] == [0]
    assert result["mean"][0] > 0.9
    assert result["mean"] == result["random_mean"]


def test_a_folder_of_ones_own_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng, data = np.random.default_rng(0), tmp_path / "images"
    for c in range(15):  # of which 2 validate and 3 test
        (data / f"class{c}").mkdir(parents=True)
        for i in range(4):
            pixels = rng.integers(256, size=(20, 20, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(data / f"class{c}" / f"{i}.png")
    sizes = "--task.ways 2 --task.queries 2 --task.filters 4 --iterations 1 --meta-batch 2 --test-tasks 3"
    sizes += " --task.train-queries 2 --task.pretraining 0"
    command = ["train", "miniimagenet-5way-1shot-r2d2", "--task.images", "folder", *sizes.split()]
    main([*command, "--data", str(data), "--out", str(tmp_path / "run")])
    main(["evaluate", str(tmp_path / "run")])
    with pytest.raises(SystemExit):
        main([*command, "--out", str(tmp_path / "other")])
    assert "--data" in capsys.readouterr().err


def test_every_size_has_its_presets() -> None:
    for images, size in (("omniglot", 28), ("omniglot-small", 28), ("miniimagenet", 84)):
        for ways, shots in ((5, 1), (5, 5), (20, 1), (20, 5)):
            config = preset(f"{images}-{ways}way-{shots}shot-maml")
            task = vars(config.task)
            assert (task["ways"], task["shots"]) == (ways, shots)
            assert task["filters"] == (32 if size == 84 else 64)


def test_missing_data_are_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "miniimagenet-5way-1shot-maml", "--data", f"{tmp_path}/none", "--out", f"{tmp_path}/run"])
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "none" in said
    assert not (tmp_path / "run").exists()


def test_tests_take_as_many_gradient_steps_as_training() -> None:
    for name in (name for name in PRESETS if "way-" in name):
        config = preset(name)
        assert config.test_steps >= config.learner.steps, name
