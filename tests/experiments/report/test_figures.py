"""Pictures of several runs: what their lines and bands hold, and that nothing is hidden."""

import sys
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluations import config
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from metarl.experiments.report.figures import (
    Curve,
    accuracy_figure,
    adaptation_figure,
    goal_figure,
    learning_figure,
)
from metarl.experiments.report.progress import ROWS
from metarl.experiments.report.style import save

CURVES = [
    Curve("maml", [-9.0, -5.0, -4.0], [-10.0, -5.5, -4.25], [-8.5, -3.0, -3.5]),
    Curve("promp", [-8.0, nan], [-9.0, nan], [-7.0, nan]),
    Curve("random", [-20.0] * 3, [-22.0] * 3, [-19.0] * 3, random=True),
]


def run(path: Path, **columns: list[float]) -> Path:
    """A run folder with these columns in its progress.csv."""
    path.mkdir(parents=True)
    (path / "config.json").write_text(config())
    rows = zip(*columns.values(), strict=True)
    lines = [f"iteration,{','.join(columns)}", *(f"{i},{','.join(map(str, row))}" for i, row in enumerate(rows, 1))]
    (path / "progress.csv").write_text("\n".join(lines) + "\n")
    return path


def legend(picture: Any) -> list[str]:
    return [text.get_text() for text in picture.legends[0].get_texts()]


def test_accuracies_are_sorted_with_their_intervals_and_starts() -> None:
    curves = [
        Curve("protonet", [0.8], [0.75], [0.82]),
        Curve("maml", [0.2, 0.6, 0.9], [0.1, 0.5, 0.85], [0.3, 0.7, 0.95]),
        Curve("anil", [0.2, 0.4], [0.1, 0.3], [0.3, 0.5]),
    ]
    (axis,) = accuracy_figure(curves, title="title").axes
    assert [label.get_text() for label in axis.get_yticklabels()] == ["anil", "protonet", "maml"]
    ends = [(line.get_xdata()[0], line.get_ydata()[0]) for line, _, _ in axis.containers]
    assert ends == [(0.4, 0), (0.8, 1), (0.9, 2)]
    spans = [bars[0].get_segments()[0][:, 0].tolist() for _, _, bars in axis.containers]
    np.testing.assert_allclose(spans, [(0.3, 0.5), (0.75, 0.82), (0.85, 0.95)])
    hollow = [line.get_xdata()[0] for line in axis.lines if line.get_markerfacecolor() == "white"]
    assert hollow == [0.2, 0.2]  # before adaptation, where there are steps


def test_adaptation_lines_intervals_and_references() -> None:
    picture = adaptation_figure(CURVES, metric="accuracy", title="title", references={"paper": [-7.0, nan, -3.0]})
    (axis,) = picture.axes
    assert legend(picture) == ["maml", "promp", "random", "paper"]
    lines = {container.get_label(): container for container in axis.containers}
    for curve in CURVES:
        line, _, (bars,) = lines[curve.label]
        np.testing.assert_array_equal(line.get_ydata(), curve.value)
        assert np.abs(line.get_xdata() - np.arange(len(curve.value))).max() < 0.1
        segments = bars.get_segments()
        assert len(segments) == len(curve.value)
        for k, segment in enumerate(segments):
            if np.isfinite(curve.value[k]):
                np.testing.assert_allclose(segment[:, 1], [curve.low[k], curve.high[k]])
    starts = sorted(lines[curve.label][0].get_xdata()[0] for curve in CURVES)
    assert np.diff(starts).min() > 0.02  # intervals stand beside each other
    assert axis.get_xlim()[0] < starts[0]
    np.testing.assert_array_equal(lines["paper"][0].get_ydata(), [-7.0, nan, -3.0])
    np.testing.assert_array_equal(lines["paper"][0].get_xdata(), [0, 1, 2])
    assert (axis.get_ylabel(), axis.get_yscale(), axis.get_title()) == ("mean accuracy", "linear", "title")
    for name, grey in (("maml", False), ("promp", False), ("random", True), ("paper", True)):
        assert (np.std(to_rgb(lines[name][0].get_color())) < 0.01) == grey
    assert lines["random"][0].get_linestyle() == ":"


def test_many_lines_differ_in_colour_or_marker() -> None:
    curves = [Curve(f"method {i}", [1.0, 2.0], [0.5, 1.5], [1.5, 2.5]) for i in range(16)]
    lines = [container[0] for container in adaptation_figure(curves, metric="return").axes[0].containers]
    assert len({line.get_color() for line in lines[:8]}) == 8
    assert len({(line.get_color(), line.get_marker()) for line in lines}) == 16


def test_losses_are_on_a_log_scale_with_several_ticks() -> None:
    losses = [Curve("maml", [4.0, 2.0], [3.0, 1.8], [5.0, 2.2])]
    (axis,) = adaptation_figure(losses, metric="loss").axes
    assert axis.get_yscale() == "log"
    low, high = axis.get_ylim()
    assert {2, 3, 4} <= {round(tick, 9) for tick in axis.get_yticks() if low <= tick <= high}
    wide = [Curve("alpaca", [4.0, 2e-4], [3.0, 1e-4], [5.0, 3e-4])]
    (axis,) = adaptation_figure(wide, metric="loss").axes
    low, high = axis.get_ylim()
    assert 3 < len([tick for tick in axis.get_yticks() if low <= tick <= high]) < 8  # labels do not overlap
    zero = [Curve("maml", [4.0, 0.0], [3.0, 0.0], [5.0, 0.0])]
    assert adaptation_figure(zero, metric="loss").axes[0].get_yscale() == "linear"


def test_a_single_point() -> None:
    (axis,) = adaptation_figure([Curve("maml", [1.0], [0.5], [2.0])], metric="return").axes
    assert axis.get_xlim() == (-0.04, 1.04)


def test_learning_curves_are_means_over_seeds(tmp_path: Path) -> None:
    runs = {
        "maml": [
            run(tmp_path / "a", env_steps=[100, 200, 300], return_0=[0.0, 1.0, 2.0], return_2=[4.0, 5.0, 6.0]),
            run(tmp_path / "b", env_steps=[150, 250], return_0=[2.0, 4.0], return_2=[8.0, 8.0]),
        ],
        "oracle": [run(tmp_path / "c", env_steps=[100, 400], return_0=[7.0, 9.0])],
    }
    picture = learning_figure(runs, title="task")
    before, after = picture.axes
    assert (before.get_title(), after.get_title()) == ("before adaptation", "after 2 gradient steps")
    assert picture.get_suptitle() == "task\nbands: lowest to highest seed"
    assert legend(picture) == [line.get_label() for line in before.get_lines()] == ["maml", "oracle"]
    assert [line.get_label() for line in after.get_lines()] == ["maml"]
    assert before.get_lines()[0].get_color() == after.get_lines()[0].get_color() != before.get_lines()[1].get_color()
    for axis, at_200 in ((before, (1.0, 3.0)), (after, (5.0, 8.0))):
        line = axis.get_lines()[0]
        assert (line.get_xdata()[0], line.get_xdata()[-1]) == (150, 250)  # where both seeds are
        middle = np.interp(200, line.get_xdata(), line.get_ydata())
        assert middle == pytest.approx(np.mean(at_200))
        corners = axis.collections[0].get_paths()[0].vertices
        near = corners[np.abs(corners[:, 0] - 200) < 0.2]
        assert (near[:, 1].min(), near[:, 1].max()) == pytest.approx(at_200, abs=0.01)
    assert (before.get_xlabel(), before.get_ylabel()) == ("environment steps", "mean return")
    assert before.get_ylim() == after.get_ylim()


def test_long_curves_are_smoothed_and_supervised_ones_run_over_iterations(tmp_path: Path) -> None:
    n = 3 * ROWS
    values = list(np.random.default_rng(0).uniform(1, 2, n))
    picture = learning_figure({"maml": [run(tmp_path / "a", env_steps=[0] * n, loss_0=values, loss_1=values)]})
    axis = picture.axes[1]
    assert picture.get_suptitle() == "running mean of 3 rows"
    assert (axis.get_xlabel(), axis.get_yscale()) == ("iterations", "log")
    line = axis.get_lines()[0]
    assert line.get_xdata()[-1] == n
    assert line.get_ydata()[-1] == pytest.approx(np.mean(values[-3:]))


def test_learning_curves_that_share_no_picture(tmp_path: Path) -> None:
    a = run(tmp_path / "a", env_steps=[1], return_0=[1.0])
    b = run(tmp_path / "b", env_steps=[0], loss_0=[1.0])
    with pytest.raises(ValueError, match="loss and return"):
        learning_figure({"a": [a], "b": [b]})
    with pytest.raises(ValueError, match="one or more run folders"):
        learning_figure({"a": [a], "b": []})


def test_goals_and_what_was_achieved() -> None:
    goals = np.array([0.5, 3.0, 1.0])
    picture = goal_figure(goals, {"before": [1.0, 1.1, 1.2], "after": [0.4, 2.5, 1.0]}, title="cheetah", unit="km/h")
    (axis,) = picture.axes
    before, after = axis.collections
    np.testing.assert_array_equal(before.get_offsets(), np.column_stack([goals, [1.0, 1.1, 1.2]]))
    np.testing.assert_array_equal(after.get_offsets(), np.column_stack([goals, [0.4, 2.5, 1.0]]))
    assert to_rgb(before.get_facecolor()[0]) == (1.0, 1.0, 1.0)
    assert to_rgb(after.get_facecolor()[0]) != (1.0, 1.0, 1.0)
    (diagonal,) = axis.get_lines()
    np.testing.assert_array_equal(diagonal.get_xdata(), diagonal.get_ydata())
    assert set(legend(picture)) == {"goal", "before", "after"}
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("goal velocity (km/h)", "achieved velocity (km/h)")
    assert axis.get_xlim()[0] < 0 < 3 < axis.get_xlim()[1]
    with pytest.raises(ValueError, match=r"'after' has values of shape \(2,\) for goals of \(3,\)"):
        goal_figure(goals, {"after": [1.0, 2.0]})


def test_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = adaptation_figure(CURVES, metric="return")
    save(picture, tmp_path / "a.png")
    assert imread(tmp_path / "a.png").shape == (750, 1200, 4)
    with pytest.raises(ValueError, match=r"\.png, \.pdf, \.svg"):
        save(picture, tmp_path / "a.jpg")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ValueError, match=r'pip install "metarl-torch\[plot\]"'):
        goal_figure([1.0], {"after": [1.0]})
