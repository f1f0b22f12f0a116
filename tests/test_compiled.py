"""Compiled meta-gradients: those that are not compiled, or a line that says why not."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from byhand import flat, relative_error
from toys import regressor, sample_episodes

import metarl as ml
from metarl import compiled
from metarl.compiled import CompiledGradient, compile_training
from metarl.core import Episodes, Learner, Objective, meta_gradient
from metarl.learners.context import CAVIA, Concatenated
from metarl.losses import Samples, cross_entropy, mse
from metarl.objectives import final, learner_loss, multi_step
from metarl.run.fit import resume
from metarl.run.folder import RunFolder
from metarl.train import MetaTraining

COMPILER = pytest.mark.skipif(
    not any(map(shutil.which, ("g++", "clang++", "c++"))), reason="torch needs a C++ compiler, and there is none"
)


def net(inputs: int = 1) -> ml.nets.MLP:
    return ml.nets.MLP(inputs, 1, hidden=(6,), activation="tanh")


LEARNERS: dict[str, Callable[[], Learner]] = {
    "MAML": lambda: ml.MAML(net(), mse, steps=2, lr=0.1),
    "Meta-SGD": lambda: ml.MetaSGD(net(), mse, steps=2, lr=0.1),
    "ANIL": lambda: ml.ANIL(net(), mse, steps=2, lr=0.1),
    "CAVIA": lambda: CAVIA(Concatenated(net(4)), mse, context=3, steps=2, lr=0.3),
    "learned optimiser": lambda: ml.LearnedOptimizer(net(), mse, steps=2, hidden=4),
    "ProtoNet": lambda: ml.ProtoNet(ml.nets.MLP(1, 4, hidden=(6,)), ways=3),
}


def labelled(seed: int = 0) -> Episodes:
    """Tasks with three classes of points on a line."""
    rng = torch.Generator().manual_seed(seed)
    y = torch.arange(3).repeat(2, 2)
    support, query = (Samples(y[..., None] + 0.3 * torch.randn(2, 6, 1, generator=rng), y) for _ in range(2))
    return Episodes((support,), query)


def problem(name: str) -> tuple[Learner, Episodes, Objective]:
    torch.manual_seed(0)
    learner = LEARNERS[name]()
    if name == "ProtoNet":
        return learner, labelled(), final(cross_entropy)
    episodes = torch.utils._pytree.tree_map(torch.Tensor.float, sample_episodes(tasks=3, steps=2))
    return learner, episodes, final(learner_loss(learner))


def agree(gradient: CompiledGradient, name: str, **options: Any) -> None:
    """Compare the compiled meta-gradient with the other for two sets of parameters, in float32."""
    learner, episodes, objective = problem(name)
    for _ in range(2):
        value, expected = meta_gradient(learner, episodes, objective, **options)
        loss, found = gradient(learner, episodes, objective, **options)
        assert not gradient.failed
        assert loss == pytest.approx(value, rel=1e-5)
        assert relative_error(flat(found), flat(expected)) < 1e-5
        with torch.no_grad():
            for parameter in learner.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))


@pytest.mark.parametrize("name", LEARNERS)
def test_the_function_that_is_compiled_gives_the_meta_gradient(name: str) -> None:
    """As torch captures it, whatever then turns it into machine code."""
    agree(CompiledGradient(backend="eager"), name)


@COMPILER
@pytest.mark.parametrize("name", ["MAML", "ProtoNet"])
def test_the_compiled_function_gives_the_meta_gradient(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    agree(CompiledGradient(), name, chunk=2)
    assert "compiled the meta-gradient in " in capsys.readouterr().err


def test_numbers_of_an_objective_change_without_compiling_again(capsys: pytest.CaptureFixture[str]) -> None:
    gradient = CompiledGradient(backend="eager")
    learner, episodes, _ = problem("MAML")
    for weights in ((0.5, 0.5), (0.25, 0.75), (0.0, 1.0)):
        objective = multi_step(mse, weights)
        loss, found = gradient(learner, episodes, objective)
        value, expected = meta_gradient(learner, episodes, objective)
        assert loss == pytest.approx(value, rel=1e-5)
        assert relative_error(flat(found), flat(expected)) < 1e-5
    assert capsys.readouterr().err.count("compiled the meta-gradient") == 1


def test_more_functions_than_torch_stores_with_one_code_object() -> None:
    learner, episodes, _ = problem("MAML")
    for _ in range(9):
        gradient = CompiledGradient(backend="eager")
        gradient(learner, episodes, final(mse))
        assert not gradient.failed


def broken(graph: Any, inputs: Any) -> Any:
    raise RuntimeError("no compiler\nand more lines")


def halved(graph: Any, inputs: Any) -> Any:
    return lambda *arguments: tuple(output / 2 for output in graph.forward(*arguments))


@pytest.mark.parametrize(
    ("backend", "reason"), [(broken, "torch cannot compile it ("), (halved, "the compiled gradient is different")]
)
def test_what_fails_or_differs_is_not_compiled_and_a_line_says_so(
    backend: Any, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    learner, episodes, objective = problem("MAML")
    gradient = CompiledGradient(backend=backend)
    value, expected = meta_gradient(learner, episodes, objective)
    for _ in range(2):
        loss, found = gradient(learner, episodes, objective)
        assert loss == value
        assert torch.equal(flat(found), flat(expected))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("warning: the meta-gradient is not compiled: ")
    assert reason in lines[0]


def training(outer: ml.Algorithm, *, iterations: int = 20_000) -> MetaTraining:
    return MetaTraining(outer, ml.tasks.Sinusoid(shots=5), iterations=iterations, meta_batch=2)


def is_compiled(what: MetaTraining) -> bool:
    return isinstance(what.algorithm.meta_gradient, CompiledGradient)


def test_auto_compiles_long_runs_and_off_none() -> None:
    for mode, iterations, expected in (
        ("off", 10**6, False), ("auto", compiled.MIN_ITERATIONS - 1, False), ("auto", compiled.MIN_ITERATIONS, True),
        ("on", 1, True),
    ):  # fmt: skip
        what = training(ml.Descent(LEARNERS["MAML"]()), iterations=iterations)
        compile_training(what, mode)  # type: ignore[arg-type]
        assert is_compiled(what) is expected


@pytest.mark.parametrize(
    ("outer", "reason"),
    [
        (lambda: ml.Reptile(LEARNERS["MAML"]()), "the gradient of Reptile cannot be compiled"),
        (lambda: ml.ProMP(LEARNERS["MAML"](), mse, divergence=ml.losses.squared_change), "the gradient of ProMP"),
        (lambda: ml.Descent(ml.MAML(net(), mse, rematerialise=True)), "rematerialise is True"),
        (
            lambda: ml.Descent(ml.MAML(torch.nn.Sequential(torch.nn.Linear(1, 3), torch.nn.LayerNorm(3)), mse)),
            "torch computes a wrong second derivative of LayerNorm",
        ),
    ],
)
def test_what_cannot_be_compiled_is_named(outer: Callable[[], ml.Algorithm], reason: str) -> None:
    with pytest.raises(ValueError, match=rf"^compile is 'on', but {reason}.*: give compile 'off'$"):
        compile_training(training(outer()), "on")
    what = training(outer())
    compile_training(what, "auto")
    assert not is_compiled(what)
    with pytest.raises(ValueError, match="the gradient of object cannot be compiled"):
        compile_training(object(), "on")


@pytest.fixture
def captured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs are compiled without a C++ compiler: what torch captures is interpreted."""
    monkeypatch.setattr(compiled, "CompiledGradient", partial(CompiledGradient, backend="eager"))


def test_a_run_records_how_it_computes_and_goes_on_likewise(captured: None, tmp_path: Path) -> None:
    def fit(out: str, **options: Any) -> ml.Trained:
        torch.manual_seed(0)
        outer = ml.Descent(LEARNERS["MAML"]())
        return ml.fit(
            outer, ml.tasks.Sinusoid(shots=5), iterations=4, meta_batch=2, checkpoint_every=2, out=tmp_path / out,
            **options,
        )  # fmt: skip

    eager, whole = fit("eager"), fit("whole", compile="on")
    assert RunFolder.open(tmp_path / "whole").config["settings"]["compile"] == "on"
    weights, expected = (flat(run.learner.parameters()) for run in (whole, eager))
    assert relative_error(weights.detach(), expected.detach()) < 1e-5
    fit("cut", compile="on")
    shutil.rmtree(tmp_path / "cut" / "checkpoints" / "00000004")
    resume(RunFolder.open(tmp_path / "cut"))
    assert torch.equal(flat(fit("cut", compile="on").learner.parameters()), weights)
    with pytest.raises(ValueError, match="compile was on and is off"):
        fit("whole")


def test_float64_is_compiled_too() -> None:
    learner, episodes = regressor(steps=2), sample_episodes(steps=2)
    _, found = CompiledGradient(backend="eager")(learner, episodes, final(mse))
    assert relative_error(flat(found), flat(meta_gradient(learner, episodes, final(mse))[1])) < 1e-12
