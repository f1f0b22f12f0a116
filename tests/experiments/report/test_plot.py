"""Pictures of runs: what their lines and bands hold, the files, and what is said of folders that cannot be plotted."""

import json
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluations import config
from evaluations import evaluation as stored_evaluation
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.image import imread

from metarl.experiments.report.compare import compare
from metarl.experiments.report.groups import grouped
from metarl.experiments.report.labels import separate
from metarl.experiments.report.plot import figure, plot_runs
from metarl.experiments.report.progress import ROWS, read_run, running_mean

SCORES = {  # after 0, 1 and 2 gradient steps, on three tasks
    "scores": [[-330.0, -270.0, -300.0], [-120.0, -100.0, -80.0], [-80.0, -70.0, -90.0]],
    "random_scores": [[-400.0, -410.0, -390.0], [-380.0, -395.0, -395.0], [-385.0, -380.0, -390.0]],
}
EVALUATION = {"steps": [0, 1, 2], "tasks": 3, "metric": "return", **SCORES}
RETURNS = {"env_steps": [100, 200, 300], "return_0": [-9.0, -8.0, -7.5], "return_2": [-5.0, -4.0, -3.0]}
LOSSES = {"env_steps": [0, 0], "loss": [1e-9, 1e-9], "loss_0": [3.0, 2.0], "loss_1": [1.0, 0.1]}


def fake(
    path: Path, columns: dict[str, list[float]], evaluation: dict[str, Any] | None = None, preset: str = "some-preset",
    **settings: Any,
) -> Path:  # fmt: skip
    """A run folder with these columns in its progress.csv."""
    path.mkdir(parents=True)
    (path / "config.json").write_text(config(preset, **settings))
    rows = zip(*columns.values(), strict=True)
    lines = [f"iteration,{','.join(columns)}", *(f"{i},{','.join(map(str, row))}" for i, row in enumerate(rows, 1))]
    (path / "progress.csv").write_text("\n".join(lines) + "\n")
    if evaluation is not None:
        whole = stored_evaluation(training_seed=settings.get("seed", 0)) | {"preset": preset} | evaluation
        (path / "evaluation.json").write_text(json.dumps(whole))
    return path


def drawn(*folders: Path) -> Figure:
    """The figure of these runs."""
    return figure(grouped([read_run(folder) for folder in folders]))


def test_learning_curves_before_and_after_adaptation(tmp_path: Path) -> None:
    picture = drawn(fake(tmp_path / "run", RETURNS))
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
    losses = EVALUATION | {"metric": "loss", "scores": [[3.0, 5.0, 1.0], [0.5, 0.1, 0.2], [0.1, 0.01, 0.3]]}
    losses |= {"random_scores": [[4.0, 4.0, 4.0]] * 3}
    left, right = drawn(fake(tmp_path / "run", LOSSES, losses)).axes
    before, after = left.get_lines()
    np.testing.assert_array_equal(before.get_xdata(), [1, 2])
    np.testing.assert_array_equal(before.get_ydata(), LOSSES["loss_0"])
    np.testing.assert_array_equal(after.get_ydata(), LOSSES["loss_1"])
    assert (left.get_xlabel(), left.get_yscale(), right.get_yscale()) == ("iterations", "log", "log")
    assert right.collections[0].get_paths()[0].vertices[:, 1].min() > 0
    assert 0 < right.get_ylim()[0] < 0.1


def test_adaptation_with_the_intervals_of_compare(tmp_path: Path) -> None:
    folder = fake(tmp_path / "run", RETURNS, EVALUATION)
    _, axis = drawn(folder).axes
    for row, line, band in zip(compare([folder]).rows, axis.get_lines(), axis.collections, strict=True):
        np.testing.assert_array_equal(line.get_xdata(), [0, 1, 2])
        np.testing.assert_array_equal(line.get_ydata(), [found.value for found in row.mean])
        corners = {tuple(corner) for corner in band.get_paths()[0].vertices}
        for k, (_, low, high) in enumerate(row.mean):
            assert {(k, low), (k, high)} <= corners
    np.testing.assert_allclose(axis.get_lines()[0].get_ydata(), [-300, -100, -80])
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["trained", "random initialisation"]
    assert "3 held-out tasks" in axis.get_title()
    assert all(tick == int(tick) for tick in axis.get_xticks())


def test_seeds_are_pooled_as_compare_pools_them(tmp_path: Path) -> None:
    folders = []
    for seed, shift in enumerate((0.0, 2.0, 4.0)):
        columns = {name: [value + shift * ("return" in name) for value in RETURNS[name]] for name in RETURNS}
        scores = {name: (np.array(values) + shift).tolist() for name, values in SCORES.items()}
        folders.append(fake(tmp_path / f"run{seed}", columns, EVALUATION | scores, seed=seed, threads=seed))
    picture = drawn(*folders)
    left, right = picture.axes
    before, after = left.get_lines()
    np.testing.assert_allclose(before.get_ydata(), np.array(RETURNS["return_0"]) + 2)
    np.testing.assert_allclose(after.get_ydata(), np.array(RETURNS["return_2"]) + 2)
    corners = left.collections[1].get_paths()[0].vertices
    at_200 = corners[corners[:, 0] == 200][:, 1]
    assert (at_200.min(), at_200.max()) == (-4.0, 0.0)  # from the lowest to the highest seed
    assert "bands: lowest to highest seed" in left.get_title()
    trained, random = compare(folders).rows
    for line, row in zip(right.get_lines(), (trained, random), strict=True):
        np.testing.assert_array_equal(line.get_ydata(), [found.value for found in row.mean])
    assert picture.get_suptitle() == "some-preset (3 seeds)"


def test_seeds_with_rows_at_other_places_are_shown_where_all_are(tmp_path: Path) -> None:
    one = fake(tmp_path / "one", {"env_steps": [100, 300], "return_0": [0.0, 2.0]})
    two = fake(tmp_path / "two", {"env_steps": [200, 400], "return_0": [3.0, 3.0]}, seed=1)
    (line,) = drawn(one, two).axes[0].get_lines()
    assert (line.get_xdata()[0], line.get_xdata()[-1]) == (200, 300)
    np.testing.assert_allclose(line.get_ydata()[[0, -1]], [2.0, 2.5])


def test_other_settings_are_another_curve_and_named(tmp_path: Path) -> None:
    runs = [fake(tmp_path / "a", RETURNS), fake(tmp_path / "b", RETURNS, seed=1)]
    runs += [fake(tmp_path / "c", RETURNS, meta_batch=7), fake(tmp_path / "d", RETURNS, preset="some-other")]
    labels = [text.get_text() for text in drawn(*runs).axes[0].texts]
    assert labels == ["preset, meta_batch None (2\nseeds)", "preset, meta_batch 7", "other"]


def test_each_method_has_a_colour_and_its_name_beside_the_axes(tmp_path: Path) -> None:
    names = [f"some-method{i}" for i in range(9)]
    left, right = drawn(
        *(fake(tmp_path / name, RETURNS, EVALUATION if i else None, name) for i, name in enumerate(names))
    ).axes
    colours = [to_rgba(line.get_color()) for line in left.get_lines()[1::2]]
    assert len(set(colours)) == 9
    labels = {text.get_text(): text for text in left.texts}
    assert list(labels) == [f"method{i}" for i in range(9)]
    assert [to_rgba(text.get_color()) for text in labels.values()] == colours
    *trained, random = right.get_lines()
    assert [to_rgba(line.get_color()) for line in trained] == colours[1:]
    assert (random.get_linestyle(), to_rgba(random.get_color())) == (":", colours[1])  # once, of the first method
    heights = sorted(text.get_position()[1] for text in labels.values())
    assert min(np.diff(heights)) > 0.05  # nine curves end in one point; their names do not overlap
    legend = left.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["before adaptation", "after 2 gradient steps"]
    left.figure.canvas.draw()
    assert legend.get_window_extent().y1 < left.get_window_extent().y0  # outside, below the axes
    boxes = sorted((text.get_window_extent() for text in labels.values()), key=lambda box: box.y0)
    assert all(low.y1 <= high.y0 for low, high in pairwise(boxes))
    assert max(box.x1 for box in boxes) < right.get_window_extent().x0


def test_many_names_are_smaller_and_still_apart(tmp_path: Path) -> None:
    left = drawn(*(fake(tmp_path / str(i), RETURNS, None, f"some-method{i}") for i in range(40))).axes[0]
    left.figure.canvas.draw()
    boxes = sorted((text.get_window_extent() for text in left.texts), key=lambda box: box.y0)
    assert len(boxes) == 40
    assert all(low.y1 <= high.y0 + 0.5 for low, high in pairwise(boxes))


def test_runs_on_other_held_out_tasks_have_a_random_initialisation_each(tmp_path: Path) -> None:
    one = fake(tmp_path / "one", RETURNS, EVALUATION, "some-one")
    two = fake(tmp_path / "two", RETURNS, EVALUATION | {"seed": 5}, "some-two")
    lines = drawn(one, two).axes[1].get_lines()
    assert [line.get_linestyle() for line in lines] == ["-", ":", "-", ":"]


def test_long_curves_are_smoothed_and_say_so(tmp_path: Path) -> None:
    values = list(np.random.default_rng(0).normal(size=3 * ROWS))
    steps = list(range(1, 3 * ROWS + 1))
    columns = {"env_steps": steps, "return_0": values, "return_1": values}
    (axis,) = drawn(fake(tmp_path / "run", columns)).axes
    smooth = axis.get_lines()[1].get_ydata()
    assert "running mean of 3 rows" in axis.get_title()
    np.testing.assert_allclose(smooth[[0, 1, 9]], [values[0], np.mean(values[:2]), np.mean(values[7:10])])


def test_running_mean_looks_back_only() -> None:
    assert running_mean([1.0, 3.0, 8.0], 2) == [1.0, 2.0, 5.5]
    assert running_mean([1.0, 3.0], 1) == [1.0, 3.0]


def test_spread_keeps_the_order_the_gap_and_the_bounds() -> None:
    assert separate([0.2, 0.8], 0.1) == [0.2, 0.8]
    np.testing.assert_allclose(separate([0.5, 0.5, 0.1], 0.1), [0.5, 0.6, 0.1])
    np.testing.assert_allclose(separate([1.0, 0.99, 0.98], 0.1), [1.0, 0.9, 0.8])
    assert np.diff(separate([0.0] * 30, 0.05)).min() > 0.049  # more than fit are still apart


def test_png_has_its_size_and_both_panels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)  # importing pyplot would fail: none of it is needed
    one, two = fake(tmp_path / "one", RETURNS), fake(tmp_path / "two", RETURNS, EVALUATION, "another-preset")
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
    assert "loss and return" in message([good, fake(tmp_path / "loss", LOSSES, seed=1)], out)
    again = fake(tmp_path / "again", RETURNS)
    assert f"{good} and {again} are both seed 0 of some-preset: give one" in message([good, again], out)
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
    "wrong", ["", "[]", json.dumps(EVALUATION | {"scores": [[1.0]]}), json.dumps(EVALUATION | {"metric": "loss"})]
)
def test_a_damaged_evaluation_says_how_to_write_it_anew(tmp_path: Path, wrong: str) -> None:
    path = fake(tmp_path / "run", RETURNS, EVALUATION)
    (path / "evaluation.json").write_text(wrong)
    assert f"metarl evaluate {path} --json" in message([path], tmp_path / "plot.png")


def test_without_matplotlib_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert 'pip install "metarl-torch[plot]"' in message([fake(tmp_path / "run", RETURNS)], tmp_path / "plot.png")
