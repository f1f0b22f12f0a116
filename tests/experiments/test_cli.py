"""The command line: every mistake is one line that names the thing and the remedy, and nothing is overwritten."""

import json
import re
import shutil
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

from metarl.experiments.cli import main
from metarl.experiments.config.run import restore
from metarl.experiments.presets import PRESETS, preset
from metarl.tasks.datasets.folder import Split

TINY = ("--iterations", "3", "--meta-batch", "2", "--checkpoint-every", "1", "--test-tasks", "3", "--log-every", "1")
POINT = (*TINY, "--task.trajectories", "2", "--task.horizon", "5")


def complaint(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    """What `metarl args` says on its way out with status 2: exactly one line."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main(args)
    assert stop.value.code == 2
    said = capsys.readouterr().err.strip()
    assert said.startswith("error: ")
    assert "\n" not in said
    return said


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "point"
    main(["train", "point-nav-2017-maml", *POINT, "--out", str(path)])
    return path


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A finished run of one's own to damage."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


def newest(run: Path) -> Path:
    return max((run / "checkpoints").iterdir())


def test_unknown_names(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "half-cheetah-vel-maml" in complaint(capsys, "train", "half-cheetah-vell-maml")
    assert "did you mean train?" in complaint(capsys, "trian")
    assert "choose one of list, train" in complaint(capsys, "zzz")
    out = tmp_path / "run"
    said = complaint(capsys, "train", "ant-vel-maml", "--task.env", "metarl/AntVell-v0", "--out", str(out))
    assert "metarl/AntVel-v0" in said
    assert not out.exists()


@pytest.mark.parametrize(
    "setting",
    [
        ("--iterations", "-3"), ("--meta-batch", "0"), ("--seed", "-1"), ("--threads", "-2"), ("--chunk", "0"),
        ("--learner.steps", "-1"), ("--task.trajectories", "0"), ("--task.horizon", "-5"), ("--algorithm.max-kl", "-1"),
        ("--algorithm.curvature-every", "0", "1"), ("--task.activation", "sine"), ("--learner.adapt", "nothing"),
    ],
)  # fmt: skip
def test_impossible_settings(capsys: pytest.CaptureFixture[str], tmp_path: Path, setting: tuple[str, str]) -> None:
    said = complaint(capsys, "train", "point-nav-maml", *setting, "--out", str(tmp_path / "run"))
    assert setting[1] in said
    assert not (tmp_path / "run").exists()


def test_step_weights_that_do_not_fit(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "run"
    said = complaint(capsys, "train", "sinusoid-maml", "--algorithm.step-weights", "1", "--out", str(out))
    assert "1 entries for 2 inner steps" in said
    assert not out.exists()


def test_output_folder_in_use(capsys: pytest.CaptureFixture[str], run: Path) -> None:
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    assert f"--resume {run}" in complaint(capsys, "train", "sinusoid-maml", *TINY, "--out", str(run))
    assert {p: p.read_bytes() for p in run.rglob("*") if p.is_file()} == before


def test_output_folder_not_writable(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file, not a folder")
    said = complaint(capsys, "train", "sinusoid-maml", *TINY, "--out", str(tmp_path / "file" / "run"))
    assert "choose another --out" in said


def test_not_a_run_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for command in (("evaluate", str(tmp_path)), ("train", "--resume", str(tmp_path))):
        assert "not a run folder" in complaint(capsys, *command)


def test_nothing_to_train(capsys: pytest.CaptureFixture[str]) -> None:
    assert "needs a preset" in complaint(capsys, "train")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_gpu_where_there_is_none(capsys: pytest.CaptureFixture[str], run: Path) -> None:
    for command in (("train", "sinusoid-maml"), ("evaluate", str(run)), ("train", "--resume", str(run))):
        assert "--device auto" in complaint(capsys, *command, "--device", "cuda")


@pytest.mark.parametrize("name", ["weights.safetensors", "state.pt"])
def test_a_checkpoint_cut_short(capsys: pytest.CaptureFixture[str], run: Path, name: str) -> None:
    file = newest(run) / name
    file.write_bytes(file.read_bytes()[:-100])
    said = complaint(capsys, "train", "--resume", str(run))
    assert str(newest(run)) in said
    assert "delete this folder" in said
    shutil.rmtree(newest(run))  # the remedy it names
    main(["train", "--resume", str(run)])


def test_a_checkpoint_of_another_preset(capsys: pytest.CaptureFixture[str], run: Path, tmp_path: Path) -> None:
    main(["train", "sinusoid-maml", *TINY, "--out", str(tmp_path / "other")])
    shutil.rmtree(newest(run))
    shutil.copytree(newest(tmp_path / "other"), run / "checkpoints" / "00000003")
    assert "is a checkpoint of another run" in complaint(capsys, "evaluate", str(run))


def test_a_checkpoint_of_other_settings(capsys: pytest.CaptureFixture[str], run: Path) -> None:
    config = json.loads((run / "config.json").read_text())
    config["settings"]["task"]["hidden"] = [7]
    (run / "config.json").write_text(json.dumps(config))
    assert "does not match the settings" in complaint(capsys, "evaluate", str(run))


def test_damaged_settings(capsys: pytest.CaptureFixture[str], run: Path) -> None:
    text = (run / "config.json").read_text()
    (run / "config.json").write_text(text[: len(text) // 2])
    assert "config.json is damaged" in complaint(capsys, "evaluate", str(run))
    (run / "config.json").write_text(text.replace('"meta_batch"', '"meta_patch"'))
    assert "meta_patch" in complaint(capsys, "evaluate", str(run))


def test_evaluate(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "result.json"
    main(["evaluate", str(run), "--steps", "2", "--tasks", "4", "--json", str(file)])
    result = json.loads(file.read_text())
    assert result["preset"] == "point-nav-2017-maml"
    assert result["metric"] == "return"
    assert result["steps"] == [0, 1, 2]
    assert result["tasks"] == 4
    for key in ("mean", "ci95", "random_mean", "random_ci95"):
        assert len(result[key]) == 3
        assert all(isinstance(value, float) for value in result[key])
    assert f"{result['mean'][1]:.4g}" in capsys.readouterr().out
    main(["evaluate", str(run), "--steps", "2", "--tasks", "4", "--json", str(tmp_path / "again.json")])
    assert (tmp_path / "again.json").read_text() == file.read_text()
    assert "tasks is 0" in complaint(capsys, "evaluate", str(run), "--tasks", "0")
    assert "no images" in complaint(capsys, "evaluate", str(run), "--no-transductive")
    assert "does not exist" in complaint(capsys, "evaluate", str(run), "--json", str(tmp_path / "no" / "x.json"))


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--version"])
    assert capsys.readouterr().out == f"metarl {version('metarl-torch')}\n"


def test_presets_are_complete() -> None:
    tasks = ("half-cheetah-vel", "half-cheetah-dir", "ant-vel", "ant-dir", "point-nav")
    methods = ("maml", "promp", "fomaml", "reptile")
    wanted = {f"{t}{v}-{m}" for t in tasks for v in ("", "-2017") for m in methods}
    wanted |= {f"sinusoid-{m}" for m in ("maml", "fomaml", "reptile", "meta-sgd")}
    assert wanted <= PRESETS.keys()


def test_a_run_older_than_a_setting_stays_as_it_was() -> None:
    """Its config.json lacks the setting; today's preset may have given it a value that the run was not made with."""
    for name, part, setting, was in (
        ("point-nav-2017-maml", "algorithm", "step_weights", ()),
        ("ant-dir-2017-maml", "task", "gae_schedule", None),
    ):
        stored = json.loads(json.dumps(asdict(preset(name))))
        assert restore(preset(name), stored) == preset(name)
        assert getattr(getattr(preset(name), part), setting) != was
        del stored[part][setting]
        stored["learner"]["steps"] = 1
        old = restore(preset(name), stored)
        assert getattr(getattr(old, part), setting) == was
        assert getattr(old, part) == replace(getattr(preset(name), part), **{setting: was})


def test_settings_without_a_part() -> None:
    stored = json.loads(json.dumps(asdict(preset("sinusoid-maml"))))
    del stored["learner"]
    with pytest.raises(ValueError, match=r"^settings lacks 'learner': .* or edited$"):
        restore(preset("sinusoid-maml"), stored)


def test_only_training_begins_with_short_credit() -> None:
    config, credit = preset("ant-dir-2017-maml"), {}
    for split in get_args(Split):
        distribution: Any = config.distribution(torch.device("cpu"), split=split)
        distribution.set_progress(0.0)
        credit[split] = distribution.current_gae
        assert distribution.inner_gae == (0.9, 0.5)  # everywhere
    assert credit == {"train": (0.9, 0.5), "validation": (0.99, 0.95), "test": (0.99, 0.95)}


ELSEWHERE = re.compile(r"way-|^meta-world")  # presets that have tests of their own


@pytest.mark.parametrize("name", sorted(name for name in PRESETS if not ELSEWHERE.search(name)))
def test_every_preset_trains(name: str, tmp_path: Path) -> None:
    settings = (*(TINY if name.startswith("sinusoid") else POINT), "--iterations", "1")
    if name.startswith("environment"):
        settings = (*settings, "--task.env", "own_envs:me/OwnPendulum-v0", "--task.workers", "1")
    if name.endswith("-gmps"):
        expert = str(tmp_path / "expert")
        main(["train", name.replace("gmps", "oracle"), "--quick", *settings, "--out", expert])
        settings = (*settings, "--expert", expert)
    main(["train", name, "--quick", *settings, "--out", str(tmp_path / "run")])
    assert len((tmp_path / "run" / "progress.csv").read_text().splitlines()) == 2
