"""Pre-training before few-shot tasks: what a run begins with, that it is counted, and that a stopped run goes on."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from metarl.experiments import runner, warm_start
from metarl.experiments.cli import main
from metarl.experiments.config.run import Config
from metarl.experiments.presets import preset
from metarl.learners.per_step import MAMLPlusPlus
from metarl.nets.conv4 import Conv4, FeatureMaps
from metarl.nets.dense import Dense
from metarl.nets.resnet import ResNet12
from metarl.run.folder import RunFolder

CPU = torch.device("cpu")
TINY = ("--task.pretraining", "20", "--task.filters", "8", "--task.queries", "5", "--meta-batch", "2")
TINY = (*TINY, "--log-every", "1", "--checkpoint-every", "2", "--torch-threads", "1")
pytestmark = pytest.mark.usefixtures("asked")


def train(method: str, path: Path, *args: str) -> Path:
    ways = ("--task.train-ways", "9") if method == "protonet" else ()
    main(["train", f"omniglot-small-5way-1shot-{method}", *TINY, *ways, "--iterations", "4", *args, "--out", str(path)])
    return path


def weights(path: Path, iteration: int) -> dict[str, Tensor]:
    return load_file(path / "checkpoints" / f"{iteration:08d}" / "weights.safetensors")


def encoder(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The blocks' weights, by the names that they have in Conv4 alone."""
    return {name[name.index("blocks") :]: value for name, value in weights.items() if ".blocks." in f".{name}"}


def test_methods_begin_with_the_same_encoder_which_has_learned_and_is_counted(tmp_path: Path) -> None:
    maml, protonet = train("maml", tmp_path / "maml"), train("protonet", tmp_path / "protonet")
    assert RunFolder.open(maml).checkpoints() == [0, 2, 4]
    mine, other = encoder(weights(maml, 0)), encoder(weights(protonet, 0))
    assert len(mine) == 4 * 3
    last = [name for name in mine if "3.norm" in name]
    assert all(torch.equal(mine[name], other[name] / (0.5 if name in last else 1)) for name in mine)
    later = weights(maml, 4)
    assert not later["net.head.weight"].any()  # fixed, where it began
    assert all(not torch.equal(later[f"net.{name}"], mine[name]) for name in mine)
    fresh = runner.new_learner(config := runner.settings(RunFolder.open(maml)), config.distribution(CPU), CPU)
    norms = [name for name in mine if "norm.weight" in name]
    assert all(not torch.equal(mine[name], fresh.state_dict()[f"net.{name}"]) for name in norms)
    run = RunFolder.open(maml)
    assert 0 < run.record(0).seconds < run.record(2).seconds < run.record(4).seconds
    assert RunFolder.open(protonet).record(0).seconds == run.record(0).seconds  # done once, counted for both
    rows = (maml / "progress.csv").read_text().splitlines()[1:]
    assert [row.split(",")[0] for row in rows] == ["1", "2", "3", "4"]


def test_a_run_that_was_stopped_early_equals_one_that_was_not(tmp_path: Path) -> None:
    whole = train("maml", tmp_path / "whole")
    cases = {"in the middle": (0, 2), "after pre-training": (0,), "in pre-training": (), "before pre-training": ()}
    for name, kept in cases.items():
        stopped = tmp_path / name / "run"  # with no run beside it, whose pre-training it could take
        shutil.copytree(whole, stopped)
        for checkpoint in (0, 2, 4):
            if checkpoint not in kept:
                shutil.rmtree(stopped / "checkpoints" / f"{checkpoint:08d}")
        if not kept:
            (stopped / "progress.csv").unlink()
        if name == "in pre-training":
            RunFolder.open(stopped / "pretraining").remove(20)
        if name == "before pre-training":
            shutil.rmtree(stopped / "pretraining")
        main(["train", "--resume", str(stopped)])
        assert (stopped / "progress.csv").read_bytes() == (whole / "progress.csv").read_bytes(), name
        mine, theirs = weights(stopped, 4), weights(whole, 4)
        assert all(torch.equal(mine[key], theirs[key]) for key in theirs), name


def test_what_is_learned_does_not_depend_on_the_number_of_threads(tmp_path: Path) -> None:
    config = runner.settings(RunFolder.open(train("maml", tmp_path / "run")))
    found = []
    for threads in 1, 2:
        torch.set_num_threads(threads)
        learner = runner.new_learner(config, config.distribution(CPU), CPU)
        fresh = tmp_path / f"{threads}" / "run"
        fresh.mkdir(parents=True)
        warm_start.warm_start(config, learner, fresh, device=CPU, resume_command="")
        found.append(learner.state_dict())
    torch.set_num_threads(1)
    assert all(torch.allclose(found[0][name], found[1][name], atol=1e-5) for name in found[0])


@pytest.mark.parametrize(
    "net", [
        Conv4(1, None, filters=8), FeatureMaps(1, filters=8), Dense(1, None, hidden=(9, 8)),
        ResNet12(1, filters=(4, 8)),
    ],
)
def test_features_are_proportional_to_their_last_normalisation(net: warm_start.Encoder) -> None:
    x = torch.rand(6, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = net(x)
        for norm in net.last_norms:
            net.get_parameter(f"{norm}.bias").add_(0.1)  # as after training
        shifted = net(x)
        warm_start.scale_features(net, 3.0)
        assert not torch.allclose(before, shifted)
        assert torch.allclose(net(x), 3 * shifted, rtol=1e-4, atol=1e-5)


def settings(method: str) -> Config:
    return preset(f"omniglot-small-5way-1shot-{method}")


def with_encoder(method: str) -> tuple[nn.Module, dict[str, Tensor]]:
    """A fresh learner with an encoder of random weights with_encoder in it, and these weights."""
    config = settings(method)
    learner = runner.new_learner(config, config.distribution(CPU), CPU)
    other = Conv4(1, None)
    for p in other.parameters():
        nn.init.normal_(p)
    warm_start.load_encoder(learner, other.state_dict())
    return learner, other.state_dict()


@pytest.mark.parametrize("method", ["maml", "anil", "bayesian-maml", "reptile", "meta-lstm", "imaml", "maml-plus-plus"])
def test_a_last_layer_that_is_adapted_begins_at_0(method: str) -> None:
    learner, _ = with_encoder(method)
    heads = [value for name, value in learner.state_dict().items() if name.startswith("net.head.")]
    assert len(heads) == 2
    assert not any(head.any() for head in heads)


@pytest.mark.parametrize("method", ["cavia", "relation", "mann", "gnn"])
def test_what_else_a_learner_has_is_left_alone(method: str) -> None:
    learner, given = with_encoder(method)
    config = settings(method)
    fresh = runner.new_learner(config, config.distribution(CPU), CPU).state_dict()
    given |= {name: 0.5 * value for name, value in given.items() if "3.norm" in name}
    for name, value in learner.state_dict().items():
        plain = name[name.index("blocks") :] if "blocks" in name and "relation." not in name else ""
        assert torch.equal(value, given.get(plain, fresh[name])), name


def test_normalisations_after_each_step_begin_as_the_encoder_s() -> None:
    learner, given = with_encoder("maml-plus-plus")
    assert isinstance(learner, MAMLPlusPlus)
    for name, rows in learner.norms.items():
        assert all(torch.equal(row, given[name.replace("/", ".")]) for row in rows)


def test_a_learner_without_an_encoder_is_refused_before_a_folder_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        train("nearest-neighbour", tmp_path / "run")
    assert "NearestNeighbour has no encoder to pre-train" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        train("maml", tmp_path / "run", "--task.pretraining", "-1")
    assert "pretraining is -1" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_features_have_unit_variance(tmp_path: Path) -> None:
    config = runner.settings(RunFolder.open(train("protonet", tmp_path / "run")))
    distribution = config.distribution(CPU)
    learner = runner.new_learner(config, distribution, CPU)
    warm_start.warm_start(config, learner, tmp_path / "run", device=CPU, resume_command="")
    query = distribution.sample(4, runner.generator(runner.Stream.TEST, 0)).query(None)  # type: ignore[arg-type]
    with torch.no_grad():
        net = warm_start.encoders(learner)[0]
        variance = torch.stack([net(x).var(0).mean() for x in query.x]).mean()
    assert 0.5 < float(variance) / warm_start.METRIC_SCALE**2 < 2  # of other images than those it was measured on
