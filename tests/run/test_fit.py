"""`fit`: a run of a script's own goes on where it stopped, says what it is, and is given back."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from training import result

import metarl as ml
from metarl.description import NotRestorable
from metarl.experiments.cli import main
from metarl.run.pretrained import names, resolve_run

SCRIPT = """
import sys
import torch
import metarl as ml

torch.manual_seed(0)
tasks = ml.tasks.Sinusoid(shots=5)
learner = ml.MAML(ml.nets.MLP(1, 1, hidden=(8,)), ml.losses.mse, steps=1, lr=0.01)
ml.fit(ml.Descent(learner, lr=1e-3), tasks, iterations=400, meta_batch=5, out=sys.argv[1], log_every=5,
       checkpoint_every=10, validation_tasks=5)
"""


def made(**settings: Any) -> ml.Algorithm:
    torch.manual_seed(0)
    learner = ml.MAML(ml.nets.MLP(1, 1, hidden=(8,)), ml.losses.mse, **{"steps": 1, "lr": 0.01, **settings})
    return ml.Descent(learner, lr=1e-3)


def fit(
    out: Path, outer: ml.Algorithm | None = None, tasks: ml.Distribution | None = None, **options: Any
) -> ml.Trained:
    options = {"iterations": 6, "meta_batch": 2, "checkpoint_every": 2, **options}
    return ml.fit(outer or made(), tasks or ml.tasks.Sinusoid(shots=5), out=out, **options)


def start(script: Path, out: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, str(script), str(out)], stderr=subprocess.DEVNULL, cwd=script.parent)


def test_a_script_that_is_killed_and_started_again_ends_as_one_that_was_not(tmp_path: Path) -> None:
    (script := tmp_path / "sine.py").write_text(SCRIPT)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert start(script, whole).wait(120) == 0
    rng = np.random.default_rng(0)
    for _ in range(2):
        process = start(script, killed)
        while process.poll() is None and not (killed / "progress.csv").exists():
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.4))
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert start(script, killed).wait(120) == 0
    assert result(killed) == result(whole)


def test_another_call_goes_on_and_other_arguments_are_refused(tmp_path: Path) -> None:
    first = fit(tmp_path / "run")
    again = fit(tmp_path / "run")  # has ended: is loaded
    for a, b in zip(first.learner.parameters(), again.learner.parameters(), strict=True):
        assert torch.equal(a, b)
    for change, words in (
        ({"iterations": 7}, "iterations was 6 and is 7"),
        ({"outer": made(lr=0.02)}, r"outer\.learner\.lr was 0\.01 and is 0\.02"),
        ({"outer": ml.Reptile(made().learner)}, r"outer\.class was .*Descent and is .*Reptile"),
        ({"tasks": ml.tasks.Sinusoid(shots=6)}, r"tasks\.shots was 5 and is 6"),
        ({"seed": 1}, "seed was 0 and is 1"),
    ):
        with pytest.raises(ValueError, match=rf"a run with other arguments \({words}\): choose another out"):
            fit(tmp_path / "run", **change)


def test_what_was_trained_is_loaded(tmp_path: Path) -> None:
    run = fit(tmp_path / "run")
    loaded = ml.load(tmp_path / "run")
    assert isinstance(loaded.learner, ml.MAML)
    assert isinstance(loaded.tasks, ml.tasks.Sinusoid)
    assert loaded.tasks.shots == 5
    one, other = (ml.evaluate(r.learner, r.tasks, steps=2, num_tasks=4) for r in (run, loaded))
    np.testing.assert_array_equal(one, other)
    assert loaded.untrained(1).state_dict().keys() == loaded.learner.state_dict().keys()
    assert loaded.validate() == run.validate()


def test_a_part_that_is_not_known_is_named_and_may_be_given(tmp_path: Path) -> None:
    def loss(predict: Any, batch: Any) -> torch.Tensor:
        return (predict(batch.x) - batch.y).square().mean()

    outer = ml.Descent(ml.MAML(torch.nn.Linear(1, 1), loss))
    run = fit(tmp_path / "run", outer)
    with pytest.raises(NotRestorable, match=r"its learner cannot be restored \(torch.nn.modules.linear:Linear"):
        ml.load(tmp_path / "run")
    with pytest.raises(ValueError, match="net is not an object of the run"):
        ml.load(tmp_path / "run", net=torch.nn.Linear(1, 1))
    learner = ml.MAML(torch.nn.Linear(1, 1), ml.losses.mse)
    loaded = ml.load(tmp_path / "run", learner=learner)
    assert loaded.learner is learner
    assert torch.equal(learner.net.weight, run.learner.net.weight)
    fit(tmp_path / "run", outer)  # by the script that made it, a run goes on all the same


def test_a_module_that_is_gone_and_another_version_are_said_in_a_line(tmp_path: Path) -> None:
    file = fit(tmp_path / "run").path / "config.json"
    config = json.loads(file.read_text())
    config["settings"]["tasks"]["class"] = "gone:Waves"
    file.write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"made with Waves of the module gone, which cannot be imported .*PYTHONPATH"):
        ml.load(tmp_path / "run")
    config["settings"]["tasks"]["class"] = "subprocess:Popen"  # a folder of somebody else's calls nothing
    file.write_text(json.dumps(config))
    with pytest.raises(ValueError, match="Popen is not a learner, task or net"):
        ml.load(tmp_path / "run")
    config["versions"]["metarl"] = "0.0.9"
    file.write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"was made by metarl 0\.0\.9, and this is"):
        ml.load(tmp_path / "run")
    config["versions"]["metarl"], config["made_by"] = ml.__version__, "os"
    file.write_text(json.dumps(config))
    with pytest.raises(ValueError, match="was made by os, which this version of metarl does not know"):
        ml.load(tmp_path / "run")


def test_unknown_trained_initialisations(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no trained initialisation 'nothing'"):
        ml.load("pretrained:nothing")
    (tmp_path / "notes").touch()
    with pytest.raises(ValueError, match="is not empty"):
        fit(tmp_path)


def test_trained_initialisations_come_with_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert "half-cheetah-vel-maml" in names()
    for name in names():
        folder = resolve_run(f"pretrained:{name}")
        assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) < 150_000
        assert ml.load(f"pretrained:{name}").learner.steps >= 1
    main(["evaluate", "pretrained:half-cheetah-vel-maml", "--tasks", "3", "--steps", "1"])
    assert "half-cheetah-vel-maml after 150 iterations, 3 held-out tasks" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["evaluate", "pretrained:half-cheetah-vel-mlam"])
    assert "did you mean half-cheetah-vel-maml?" in capsys.readouterr().err
