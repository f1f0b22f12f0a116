"""The benchmarks of iterations and updates on a small preset: parts that add up, approximations named, a picture."""

from dataclasses import replace
from pathlib import Path

import pytest

from metarl.experiments.benchmark import iteration, scaling, update
from metarl.experiments.benchmark.sampling import machine_speed
from metarl.experiments.config.run import Config
from metarl.experiments.presets import preset


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Presets of a few short trajectories."""

    def small_preset(name: str) -> Config:
        config = preset(name)
        if name.startswith("sinusoid"):
            return config
        return replace(config, task=replace(config.task, horizon=30, hidden=(8,)))

    monkeypatch.setattr(iteration, "preset", small_preset)


def test_the_parts_of_an_iteration_add_up() -> None:
    reports = iteration.Iteration(
        presets=("point-nav-maml", "point-nav-reptile"), tasks=4, trajectories=3, repeats=3, device="cpu"
    ).run()
    assert [report.title for report in reports] == [
        "point-nav-maml: 4 tasks, 720 environment steps",
        "point-nav-maml, exact Hessian products: 4 tasks, 720 environment steps",
        "point-nav-reptile: 4 tasks, 1,080 environment steps",
    ]
    for report in reports:
        assert [row.name for row in report.rows] == [
            "iteration", "simulation and policies", "advantages", "inner steps", "update",
        ]  # fmt: skip
        assert any("of half-cheetahs per second" in note for note in report.notes)
    parts = iteration.measure(iteration.sized("point-nav-maml", tasks=4, trajectories=3), repeats=2, device="cpu")
    whole, *rest = parts.values()
    for k in range(2):
        assert sum(part[k] for part in rest) == pytest.approx(whole[k])


def test_the_speed_of_the_machine_is_a_rate() -> None:
    assert 1e3 < machine_speed(num_envs=20, steps=50) < 1e7


def test_the_update_is_taken_apart_and_its_approximation_measured() -> None:
    pieces, whole = update.Update(preset="point-nav-maml", tasks=4, trajectories=3, repeats=1, device="cpu").run()
    assert len(pieces.rows) == 5
    assert any("1/6 of support, 1/15 of query: the product" in note for note in pieces.notes)
    assert whole.rows[1].name == "update, exact (all samples)"
    assert any("cosine" in note for note in whole.notes)
    with pytest.raises(ValueError, match="has no trust region"):
        update.Update(preset="point-nav-promp").run()


def test_scaling_draws_what_it_measured(tmp_path: Path) -> None:
    out = tmp_path / "scaling.png"
    settings = {"preset": "point-nav-maml", "tasks": (2, 1), "trajectories": (1, 2), "repeats": 1, "device": "cpu"}
    trajectories, tasks = scaling.Scaling(**settings, plot=out).run()  # type: ignore[arg-type]
    assert [row.name for row in tasks.rows] == ["1 tasks", "2 tasks"]
    assert [row.name for row in trajectories.rows] == ["1 trajectories", "2 trajectories"]
    assert ("2 tasks", "1 tasks") in tasks.ratios
    assert out.stat().st_size > 10_000
    with pytest.raises(ValueError, match="folder does not exist"):
        scaling.Scaling(plot=tmp_path / "nowhere" / "x.png").run()


def test_what_does_not_simulate_is_refused() -> None:
    with pytest.raises(ValueError, match="the tasks of sinusoid-maml are supervised"):
        iteration.Iteration(presets=("sinusoid-maml",)).run()
    with pytest.raises(ValueError, match="the tasks of sinusoid-maml are supervised"):
        scaling.Scaling(preset="sinusoid-maml").run()
