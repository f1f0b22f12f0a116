"""Pictures of runs: what their lines and bands hold, the files, and what is said of folders that cannot be plotted."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluations import CONFIG
from evaluations import evaluation as stored_evaluation
from matplotlib.colors import to_rgba
from matplotlib.image import imread

from metarl.experiments.plot import ROWS, figure, plot_runs, read_run, running_mean, spread

EVALUATION = {
    "preset": "half-cheetah-vel-maml", "metric": "return", "steps": [0, 1, 2], "mean": [-300.0, -100.0, -80.0],
    "ci95": [30.0, 20.0, 10.0], "random_mean": [-400.0, -390.0, -385.0], "random_ci95": [5.0, 6.0, 7.0], "tasks": 40,
}  # fmt: skip
RETURNS = {"env_steps": [100, 200, 300], "return_0": [-9.0, -8.0, -7.5], "return_2": [-5.0, -4.0, -3.0]}
LOSSES = {"env_steps": [0, 0], "loss": [1e-9, 1e-9], "loss_0": [3.0, 2.0], "loss_1": [1.0, 0.1]}


def fake(path: Path, columns: dict[str, list[float]], evaluation: dict[str, Any] | None = None) -> Path:
    """A run folder with these columns in its progress.csv."""
    path.mkdir(parents=True)
    (path / "config.json").write_text(CONFIG)
    rows = zip(*columns.values(), strict=True)
    lines = [f"iteration,{','.join(columns)}", *(f"{i},{','.join(map(str, row))}" for i, row in enumerate(rows, 1))]
    (path / "progress.csv").write_text("\n".join(lines) + "\n")
    if evaluation is not None:
        scores = {name: [[0.0] * 40] * 3 for name in ("scores", "random_scores")}
        whole = stored_evaluation() | {"goals": None} | scores | evaluation
        (path / "evaluation.json").write_text(json.dumps(whole))
    return path


def test_learning_curves_before_and_after_adaptation(tmp_path: Path) -> None:
    picture = figure([read_run(fake(tmp_path / "run", RETURNS))])
    (axis,) = picture.axes
    before, after = axis.get_lines()
    assert (before.get_label(), after.get_label()) == ("before adaptation", "after 2 gradient steps")
    assert before.is_dashed()
    assert not after.is_dashed()
    for line, column in ((before, "return_0"), (after, "return_2")):
        np.testing.assert_array_equal(line.get_xdata(), RETURNS["env_steps"])
        np.testing.assert_array_equal(line.get_ydata(), RETURNS[column])
    assert (axis.get_xlabel(), axis.get_ylabel(), axis.get_yscale()) == ("environment steps", "mean return", "linear")
    assert "some-preset" in picture.get_suptitle()


def test_losses_are_on_a_log_scale_against_iterations(tmp_path: Path) -> None:
    uncertain = EVALUATION | {"metric": "loss", "mean": [3.0, 0.5, 0.1], "ci95": [1.0, 0.6, 0.1]}
    uncertain |= {"random_mean": [4.0, 4.0, 4.0]}
    left, right = figure([read_run(fake(tmp_path / "run", LOSSES, uncertain))]).axes
    before, after = left.get_lines()
    np.testing.assert_array_equal(before.get_xdata(), [1, 2])
    np.testing.assert_array_equal(before.get_ydata(), LOSSES["loss_0"])
    np.testing.assert_array_equal(after.get_ydata(), LOSSES["loss_1"])
    assert (left.get_xlabel(), left.get_yscale(), right.get_yscale()) == ("iterations", "log", "log")
    assert right.collections[0].get_paths()[0].vertices.min() >= 0  # no band below 0, which has no logarithm
    assert 0 < right.get_ylim()[0] < 0.1


def test_adaptation_with_its_95_percent_bands(tmp_path: Path) -> None:
    _, axis = figure([read_run(fake(tmp_path / "run", RETURNS, EVALUATION))]).axes
    for prefix, line, band in zip(("", "random_"), axis.get_lines(), axis.collections, strict=True):
        mean, ci95 = np.array(EVALUATION[f"{prefix}mean"]), np.array(EVALUATION[f"{prefix}ci95"])
        np.testing.assert_array_equal(line.get_xdata(), [0, 1, 2])
        np.testing.assert_array_equal(line.get_ydata(), mean)
        corners = {tuple(corner) for corner in band.get_paths()[0].vertices}
        for k in range(3):
            assert {(k, mean[k] - ci95[k]), (k, mean[k] + ci95[k])} <= corners
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["trained", "random initialisation"]
    assert "40 held-out tasks" in axis.get_title()
    assert all(tick == int(tick) for tick in axis.get_xticks())


def test_each_run_has_a_colour_and_its_name_beside_the_axes(tmp_path: Path) -> None:
    runs = [read_run(fake(tmp_path / f"run{i}", RETURNS, EVALUATION if i else None)) for i in range(9)]
    left, right = figure(runs).axes
    colours = [to_rgba(line.get_color()) for line in left.get_lines()[1::2]]
    assert len(set(colours)) == 9
    labels = {text.get_text(): text for text in left.texts}
    assert list(labels) == [run.name for run in runs]
    assert [to_rgba(text.get_color()) for text in labels.values()] == colours
    assert [to_rgba(line.get_color()) for line in right.get_lines()[::2]] == colours[1:]
    heights = sorted(text.get_position()[1] for text in labels.values())
    assert min(np.diff(heights)) > 0.05  # nine curves end in one point; their names do not overlap
    assert len(left.get_legend().get_texts()) == 2


def test_folders_of_one_name_are_told_apart(tmp_path: Path) -> None:
    paths = [fake(tmp_path / parent / "run", RETURNS) for parent in ("one", "two")]
    plot_runs(paths, tmp_path / "plot.svg")
    text = (tmp_path / "plot.svg").read_text()
    assert all(str(path) in text for path in paths)


def test_long_curves_are_smoothed_and_say_so(tmp_path: Path) -> None:
    values = list(np.random.default_rng(0).normal(size=3 * ROWS))
    steps = list(range(1, 3 * ROWS + 1))
    columns = {"env_steps": steps, "return_0": values, "return_1": values}
    (axis,) = figure([read_run(fake(tmp_path / "run", columns))]).axes
    smooth = axis.get_lines()[1].get_ydata()
    assert "running mean of 3 rows" in axis.get_title()
    np.testing.assert_allclose(smooth[[0, 1, 9]], [values[0], np.mean(values[:2]), np.mean(values[7:10])])


def test_running_mean_looks_back_only() -> None:
    assert running_mean([1.0, 3.0, 8.0], 2) == [1.0, 2.0, 5.5]
    assert running_mean([1.0, 3.0], 1) == [1.0, 3.0]


def test_spread_keeps_the_order_the_gap_and_the_bounds() -> None:
    assert spread([0.2, 0.8], 0.1) == [0.2, 0.8]
    np.testing.assert_allclose(spread([0.5, 0.5, 0.1], 0.1), [0.5, 0.6, 0.1])
    np.testing.assert_allclose(spread([1.0, 0.99, 0.98], 0.1), [1.0, 0.9, 0.8])
    assert np.diff(spread([0.0] * 30, 0.05)).min() > 0.049  # more than fit are still apart


def test_png_has_its_size_and_both_panels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)  # importing pyplot would fail: none of it is needed
    one, two = fake(tmp_path / "one", RETURNS), fake(tmp_path / "two", RETURNS, EVALUATION)
    plot_runs([one], tmp_path / "one.png")
    assert imread(tmp_path / "one.png").shape == (750, 1200, 4)
    plot_runs([two], tmp_path / "two.png")
    image = imread(tmp_path / "two.png")
    assert image.shape == (750, 1800, 4)
    for half in (image[:, :900, :3], image[:, 900:, :3]):
        assert (half.std(axis=2) > 0.1).sum() > 500  # coloured lines, on white with black text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "one.png", "two", "two.png"]


def test_pdf_and_capitals(tmp_path: Path) -> None:
    plot_runs([fake(tmp_path / "run", RETURNS)], tmp_path / "plot.PDF")
    assert (tmp_path / "plot.PDF").read_bytes().startswith(b"%PDF")


def message(folders: list[Path], out: Path) -> str:
    with pytest.raises(ValueError, match=r"^[^\n]+$") as caught:
        plot_runs(folders, out)
    return str(caught.value)


def test_errors_name_the_thing_and_the_remedy(tmp_path: Path) -> None:
    good, out = fake(tmp_path / "good", RETURNS), tmp_path / "plot.png"
    out.write_text("kept")
    assert "give one or more" in message([], out)
    assert f"{tmp_path} is not a run folder" in message([good, tmp_path], out)
    assert ".png, .pdf, .svg" in message([good], tmp_path / "plot.jpg")
    assert "folder does not exist" in message([good], tmp_path / "none" / "plot.png")
    assert "loss and return" in message([good, fake(tmp_path / "loss", LOSSES)], out)
    empty = fake(tmp_path / "empty", {"env_steps": [], "return_0": []})
    assert f"{empty} has no rows" in message([empty], out)
    (empty / "progress.csv").unlink()
    assert f"{empty} has no rows" in message([empty], out)
    assert "no column return_0, acc" in message([fake(tmp_path / "none", {"env_steps": [1], "score_0": [1]})], out)
    broken = fake(tmp_path / "broken", RETURNS)
    text = (broken / "progress.csv").read_text()
    (broken / "progress.csv").write_text(text.replace("-4.0", "x"))
    assert "progress.csv is damaged" in message([broken], out)
    (broken / "progress.csv").write_text(text.replace("iteration", "iterations"))
    assert "progress.csv is damaged" in message([broken], out)
    assert out.read_text() == "kept"


@pytest.mark.parametrize(
    "wrong", ["", "[]", json.dumps(EVALUATION | {"mean": [1.0]}), json.dumps(EVALUATION | {"metric": "loss"})]
)
def test_a_damaged_evaluation_says_how_to_write_it_anew(tmp_path: Path, wrong: str) -> None:
    path = fake(tmp_path / "run", RETURNS, EVALUATION)
    (path / "evaluation.json").write_text(wrong)
    assert f"metarl evaluate {path} --json" in message([path], tmp_path / "plot.png")


def test_without_matplotlib_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert 'pip install "metarl-torch[plot]"' in message([fake(tmp_path / "run", RETURNS)], tmp_path / "plot.png")
