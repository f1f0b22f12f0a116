"""Recipes: every method and seed trained, chosen, evaluated and drawn; done once, and gone on with."""

import json
from collections.abc import Sequence
from dataclasses import replace
from math import nan
from pathlib import Path

import numpy as np
import pytest
import torch

from metarl.experiments import presets
from metarl.experiments.cli import main
from metarl.experiments.config.run import Config
from metarl.experiments.recipes import recipe
from metarl.experiments.recipes.job import Job
from metarl.experiments.recipes.recipe import Recipe
from metarl.experiments.recipes.table import RECIPES
from metarl.experiments.recipes.velocity import achieved_velocities
from metarl.experiments.recipes.waves import Wave
from metarl.experiments.report.compare import compare

CPU = torch.device("cpu")


@pytest.fixture
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """All runs in the process of the test, one after the other (for several processes: test_reproduce_jobs)."""

    def run_jobs(jobs: Sequence[Job], *, at_once: int) -> dict[str, str]:
        for job in jobs:
            job.run()
        return {}

    monkeypatch.setattr(recipe, "run_jobs", run_jobs)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, one_process: None) -> None:
    """Presets of a few short trajectories."""

    def small_preset(name: str) -> Config:
        config = presets.preset(name)
        task = config.task.but(trajectories=2, train_trajectories=None, horizon=10, hidden=(8, 8))
        return replace(
            config, task=task, meta_batch=3, checkpoint_every=2, test_tasks=3, validation_tasks=3, torch_threads=1,
            threads=1,
        )  # fmt: skip

    monkeypatch.setattr(recipe, "preset", small_preset)


def test_every_recipe_has_presets_and_fits_its_budget() -> None:
    assert len(RECIPES) == 23
    for task, each in RECIPES.items():
        for method in each.methods:
            config = each.config(method, seed=1, fraction=1.0)
            assert config.seed == 1
            if each.env_steps is None:
                assert config.env_steps == 0
            elif not config.algorithm.fixed_length:
                spent = config.iterations * config.env_steps
                assert each.env_steps - config.env_steps < spent <= each.env_steps, f"{task}-{method}"
            tenth = each.config(method, seed=0, fraction=0.1)
            assert tenth.iterations == max(1, int(config.iterations * 0.1))
            credit, shorter = (getattr(c.task, "gae_schedule", None) for c in (config, tenth))
            if credit is not None:  # it lengthens over as many environment steps
                assert shorter == (*credit[:2], min(1.0, 10 * credit[2]))
        for values in each.published.values():
            assert len(values) in (1, 4) if each.env_steps else len(values) == 11


@pytest.mark.usefixtures("small")
def test_a_recipe_trains_chooses_evaluates_and_draws(tmp_path: Path) -> None:
    runs, results = tmp_path / "runs", tmp_path / "results"
    steps = 3 * 2 * 10 * 2  # tasks × trajectories × steps × (support, query)
    published = {"paper": (-3.0, -2.0, -1.0, -1.0)}
    small = Recipe("half-cheetah-vel-2017", 3 * steps, ("maml", "reptile"), (0, 1), published=published)
    small.run(seeds=(0,), runs=runs, results=results, device=CPU)
    folder = results / "half-cheetah-vel-2017"
    first = (folder / "maml-0.json").read_bytes()
    assert json.loads(first)["iteration"] in (2, 3)
    assert not (folder / "maml-1.json").exists()
    small.run(runs=runs, results=results, device=CPU)
    assert (folder / "maml-0.json").read_bytes() == first  # not trained or evaluated again
    comparison = compare(sorted(folder.glob("*-?.json")))
    assert {row.name: row.seeds for row in comparison.rows if not row.random} == {"maml": (0, 1), "reptile": (0, 1)}
    assert [row.env_steps[0] <= 3 * steps for row in comparison.rows] == [True] * len(comparison.rows)
    for picture in ("adaptation.png", "learning.png", "velocity.png"):
        assert (folder / picture).stat().st_size > 10_000
    assert len((folder / "table.csv").read_text().splitlines()) == 1 + 4 * len(comparison.rows)


@pytest.mark.usefixtures("small")
def test_a_guided_run_has_its_expert_trained_first(tmp_path: Path) -> None:
    small = Recipe("point-nav-2017", 1000, ("gmps", "oracle"), (3, 4))
    small.run(methods=("gmps",), fraction=0.01, runs=tmp_path, results=tmp_path / "results", device=CPU)
    folder = tmp_path / "point-nav-2017-0.01"
    assert sorted(path.name for path in folder.iterdir()) == ["gmps-3", "gmps-4", "oracle-3", "oracle-4"]
    rows = compare([folder / "gmps-3", folder / "gmps-4"]).rows
    assert [row.seeds for row in rows if not row.random] == [(3, 4)]  # each with its own expert, pooled
    settings = json.loads((folder / "gmps-3" / "config.json").read_text())["settings"]
    assert settings["algorithm"]["expert"] == str(folder / "oracle-3")
    assert settings["seed"] == json.loads((folder / "oracle-3" / "config.json").read_text())["settings"]["seed"] == 3
    assert not (folder / "oracle-3" / "evaluation.json").exists()  # it was not asked for
    weights = (folder / "oracle-3" / "checkpoints").glob("*/weights.safetensors")
    assert (max((folder / "gmps-3" / "expert" / "checkpoints").glob("*/weights.safetensors"))).read_bytes() == max(
        weights
    ).read_bytes()


@pytest.mark.usefixtures("small")
def test_a_stopped_recipe_goes_on_and_refuses_other_settings(tmp_path: Path) -> None:
    steps = 3 * 2 * 10 * 3
    whole, stopped = Recipe("point-nav-2017", 4 * steps, ("maml",), (0,)), tmp_path / "stopped"
    path = stopped / "point-nav-2017" / "maml-0"
    whole.run(runs=tmp_path / "whole", results=tmp_path / "results", device=CPU)
    whole.run(runs=stopped, results=tmp_path / "results", device=CPU)
    weights = path / "checkpoints" / "00000004" / "weights.safetensors"
    expected = (tmp_path / "whole" / "point-nav-2017" / "maml-0" / weights.relative_to(path)).read_bytes()
    for file in (*weights.parent.iterdir(), path / "evaluation.json", path / "validation.json"):
        file.unlink()
    weights.parent.rmdir()  # as if killed after the checkpoint before
    whole.run(runs=stopped, results=tmp_path / "results", device=CPU)
    assert weights.read_bytes() == expected
    with pytest.raises(ValueError, match="made with other settings"):
        replace(whole, env_steps=5 * steps).run(runs=stopped, results=tmp_path / "results", device=CPU)


@pytest.mark.usefixtures("one_process")
def test_a_sinusoid_recipe_draws_what_each_method_fits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def small_preset(name: str) -> Config:
        sizes = {"meta_batch": 2, "iterations": 4, "log_every": 2, "test_tasks": 5, "validation_tasks": 5}
        return replace(presets.preset(name), checkpoint_every=4, torch_threads=1, **sizes)

    monkeypatch.setattr(recipe, "preset", small_preset)
    published = {"paper": (nan, 0.7, *(nan,) * 9)}
    small = Recipe("sinusoid", methods=("maml", "cnp"), seeds=(0,), published=published)
    small.run(runs=tmp_path / "runs", results=tmp_path / "results", device=CPU)
    folder = tmp_path / "results" / "sinusoid"
    for picture in ("adaptation.png", "learning.png", "waves.png"):
        assert (folder / picture).stat().st_size > 10_000
    maml, cnp = (Wave(tmp_path / "runs" / "sinusoid" / f"{method}-0", device=CPU) for method in ("maml", "cnp"))
    assert (list(maml.fits), list(cnp.fits)) == ([0, 1, 10], [0, 1])
    np.testing.assert_array_equal(maml.support, cnp.support)  # the same wave
    x, y = maml.support
    assert len(x) == 5
    errors = [np.interp(x, np.linspace(-5, 5, 201), fit) - y for fit in maml.fits.values()]
    assert (errors[2] ** 2).mean() < (errors[1] ** 2).mean() < (errors[0] ** 2).mean()  # the support's loss falls


def test_methods_whose_names_begin_alike_are_told_apart(tmp_path: Path) -> None:
    runs = ["maml-0", "maml-plus-plus-0", "maml-plus-plus-1", "protonet-2"]
    for run in runs:
        (tmp_path / run).mkdir()
        (tmp_path / run / "evaluation.json").touch()
    (tmp_path / "maml-1").mkdir()  # not evaluated yet
    found = RECIPES["omniglot-small-5way-1shot"].evaluated(tmp_path)
    assert {method: [path.name for path in paths] for method, paths in found.items()} == {
        "maml": runs[:1],
        "maml-plus-plus": runs[1:3],
        "protonet": runs[3:],
    }


def test_what_a_recipe_cannot_do_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for args, said in (
        (("swimmer",), "no recipe for 'swimmer': choose one of point-nav-2017"),
        (("point-nav-2017", "--methods", "trpo"), "no recipe for 'trpo'"),
        (("point-nav-2017", "--fraction", "0"), "fraction is 0.0"),
    ):
        with pytest.raises(SystemExit):
            main(["reproduce", *args, "--runs", str(tmp_path)])
        assert said in capsys.readouterr().err


def test_velocities_are_those_of_the_simulated_bodies(tmp_path: Path) -> None:
    path = tmp_path / "run"
    sizes = "--iterations 1 --meta-batch 2 --task.trajectories 4 --task.train-trajectories 2 --test-tasks 3"
    main(["train", "half-cheetah-vel-2017-maml", "--out", str(path), *sizes.split(), "--task.horizon", "40"])
    goals, before, after = achieved_velocities(path, steps=1, iteration=1, device=CPU)
    assert goals.shape == before.shape == after.shape == (3,)
    assert ((goals >= 0) & (goals <= 2)).all()
    assert np.abs(before).max() < 3
    assert not np.array_equal(before, after)
    main(["train", "point-nav-maml", "--out", str(tmp_path / "point"), *sizes.split()])
    with pytest.raises(ValueError, match="has no goal velocities"):
        achieved_velocities(tmp_path / "point", steps=1, iteration=1, device=CPU)
