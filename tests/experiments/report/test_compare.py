"""Comparison: which runs are pooled, which are told apart and how, and which share no table."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluations import config, evaluation, write

from metarl.experiments.report.compare import compare, picture
from metarl.statistics import estimate, interquartile_mean, mean


def shorter(stored: dict[str, Any]) -> dict[str, Any]:
    """The same evaluation with 0 gradient steps."""
    by_step = ("steps", "scores", "random_scores")
    return stored | {name: stored[name][:1] for name in by_step}


def test_seeds_of_a_preset_are_pooled(tmp_path: Path) -> None:
    stored = [evaluation("maml", 2), evaluation("promp", 0), evaluation("maml", 1)]
    comparison = compare(write(tmp_path, *stored))
    maml, promp, random, _ = comparison.rows
    assert (comparison.task, comparison.metric, comparison.tasks, comparison.test_seed) == ("point-nav", "return", 3, 0)
    assert (maml.name, maml.preset, maml.settings) == ("maml", "point-nav-maml", {})
    assert (maml.seeds, maml.iterations, maml.env_steps) == ((1, 2), (91, 92), (9001, 9002))
    scores = np.array([stored[2]["scores"], stored[0]["scores"]])  # [seeds, steps + 1, tasks]
    np.testing.assert_array_equal(maml.scores, scores)
    np.testing.assert_allclose(maml.seed_means, scores.mean(axis=2).T)
    for k in range(2):
        for found, statistic in ((maml.mean, mean), (maml.iqm, interquartile_mean)):
            assert found[k] == estimate(scores[:, k], statistic, rng=np.random.default_rng(0), resamples=2000)
    assert (promp.name, promp.seeds) == ("promp", (0,))
    assert random.random
    assert comparison.intervals.endswith("resamples of runs within each task; of tasks, where there is one run")
    pooled, single = compare(write(tmp_path, stored[0], stored[2])), compare(write(tmp_path, stored[1]))
    assert pooled.intervals.endswith("resamples of runs within each task")
    assert single.intervals.endswith("resamples of tasks, where there is one run")


def test_a_run_folder_stands_for_its_evaluation(tmp_path: Path) -> None:
    file = tmp_path / "evaluation.json"
    file.write_text(json.dumps(evaluation()))
    (tmp_path / "config.json").write_text(config())
    for path in (tmp_path, file):
        assert compare([path]).task == "point-nav-maml"
        assert compare([path]).rows[0].name == "point-nav-maml"


def test_an_evaluation_of_another_run_is_refused_in_a_run_folder(tmp_path: Path) -> None:
    file, command = tmp_path / "evaluation.json", f"metarl evaluate {tmp_path} --json {tmp_path / 'evaluation.json'}"
    file.write_text(json.dumps(evaluation() | {"run": "another"}))
    (tmp_path / "config.json").write_text(config())
    assert message([tmp_path]) == message([file])
    assert message([file]).endswith(f"holds the scores of another run: evaluate again by `{command}`")
    unnamed = evaluation()
    del unnamed["run"]
    file.write_text(json.dumps(unnamed))
    assert f"{file} is damaged (it has no run): evaluate again by `{command}`" in message([tmp_path])
    (tmp_path / "published.json").write_text(json.dumps(unnamed))  # results of before runs were named
    assert compare([tmp_path / "published.json"]).rows[0].name == "point-nav-maml"


def test_settings_tell_groups_of_one_preset_apart(tmp_path: Path) -> None:
    other = {"learner__lr": [0.2], "task__hidden": [8]}
    stored = [evaluation(), evaluation(training_seed=1), evaluation(**other), evaluation("promp", task__hidden=[9])]
    maml, changed, promp, *_ = compare(write(tmp_path, *stored)).rows
    assert maml.name == "maml, learner.lr 0.1/0.05, task.hidden 64/64"
    assert maml.seeds == (0, 1)
    assert changed.name == "maml, learner.lr 0.2, task.hidden 8"
    assert changed.settings == {"learner.lr": [0.2], "task.hidden": [8]}
    assert promp.name == "promp"


def test_settings_that_change_nothing_do_not_split_a_group(tmp_path: Path) -> None:
    stored = [evaluation(), evaluation(training_seed=1)]
    free = {"threads": 7, "torch_threads": 1, "chunk": 4, "log_every": 9, "test_tasks": 3, "validation_tasks": 2}
    stored[1]["settings"] |= free
    assert [row.seeds for row in compare(write(tmp_path, *stored)).rows if not row.random] == [(0, 1)]


def test_a_setting_that_was_not_there_yet_has_its_default(tmp_path: Path) -> None:
    old, default, other = (evaluation(training_seed=i) for i in range(3))
    default["settings"]["task"] |= {"observe_goal": False, "discount": 0.99}
    other["settings"]["task"] |= {"discount": 0.9}
    rows = compare(write(tmp_path, old, default, other)).rows
    assert [(row.name, row.seeds) for row in rows if not row.random] == [
        ("point-nav-maml, task.discount 0.99", (0, 1)),
        ("point-nav-maml, task.discount 0.9", (2,)),
    ]


def test_words_that_presets_share_are_left_out_of_names(tmp_path: Path) -> None:
    names = ("meta-new", "meta-new-first")
    rows = compare(write(tmp_path, *(evaluation(name) for name in names))).rows
    assert [row.name for row in rows if not row.random] == ["new", "new-first"]


def test_a_random_initialisation_is_shown_once(tmp_path: Path) -> None:
    stored = [shorter(evaluation("fomaml")), evaluation("maml"), evaluation("maml", 1), evaluation("promp")]
    *_, random = compare(write(tmp_path, *stored)).rows
    assert (random.name, random.seeds, random.random) == ("random initialisation", (0, 1), True)
    np.testing.assert_array_equal(random.scores, [one["random_scores"] for one in stored[1:3]])
    assert random.env_steps == (0, 0)
    stored[3]["random_scores"][1][2] += 0.5
    rows = [row for row in compare(write(tmp_path, *stored)).rows if row.random]
    assert [row.name for row in rows] == ["random initialisation (fomaml, …)", "random initialisation (promp)"]
    np.testing.assert_array_equal(rows[1].scores, [stored[3]["random_scores"]])


def test_people_are_shown_the_random_initialisation_of_the_first_method(tmp_path: Path) -> None:
    stored = [evaluation("promp"), evaluation("maml"), evaluation("maml", 1)]
    stored[0]["random_scores"][1][2] += 0.5
    comparison = compare(write(tmp_path, *stored))
    every, shown = ([row.name for row in rows] for rows in (comparison.rows, comparison.shown))
    assert every == ["promp", "maml", "random initialisation (promp)", "random initialisation (maml)"]
    assert shown == every[:3]
    (axis,) = picture(comparison).axes
    assert [container.get_label() for container in axis.containers] == shown


def test_divergence_is_nan(tmp_path: Path) -> None:
    stored = [evaluation(), evaluation(training_seed=1)]
    stored[1]["scores"][1][2] = None
    row = compare(write(tmp_path, *stored)).rows[0]
    assert np.isfinite(row.mean[0]).all()
    assert np.isnan(row.mean[1]).all()
    assert np.isnan(row.iqm[1]).all()


def message(files: list[Path]) -> str:
    with pytest.raises(ValueError, match=r"^[^\n]+$") as caught:
        compare(files)
    return str(caught.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"metric": "loss"}, "their metric is return and loss"),
        ({"seed": 5}, "their seed of the held-out tasks is 0 and 5"),
        ({"task__env": "metarl/PointNav-MAML2017-v0"}, "task.env is metarl/PointNav-v0 and metarl/PointNav-MAML2017"),
        ({"task__ways": 5}, "task.ways is None and 5"),
        ({"goals": [[0.0], [1.0], [2.5]]}, "the goals of their held-out tasks differ"),
        ({"tasks": 2, "scores": [[1, 2]] * 2, "random_scores": [[1, 2]] * 2}, "number of held-out tasks is 3 and 2"),
    ],
)
def test_different_tasks_share_no_table(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    files = write(tmp_path, evaluation(), evaluation("promp", **change))
    text = message(files)
    assert said in text
    assert all(str(file) in text for file in files)


def test_runs_that_cannot_be_pooled(tmp_path: Path) -> None:
    assert "0.json and" in (text := message(write(tmp_path, evaluation(), evaluation())))
    assert "are both seed 0 of point-nav-maml: give one of the two" in text
    text = message(write(tmp_path, evaluation(), shorter(evaluation(training_seed=1))))
    assert "have 1 and 0 gradient steps: evaluate them again with the same --steps" in text
    assert "give one or more" in message([])


@pytest.mark.parametrize("key", ["settings", "env_steps", "scores", "random_scores"])
def test_an_evaluation_of_an_earlier_version(tmp_path: Path, key: str) -> None:
    stored = evaluation()
    del stored[key]
    (file,) = write(tmp_path, stored)
    text = message([file])
    assert f"{file} is damaged (it has no {key})" in text
    assert f"evaluate again by `metarl evaluate RUN --json {file}`" in text


@pytest.mark.parametrize(
    "wrong", ["", "[]", "3", '{"preset": 1}', json.dumps(evaluation(scores=[[1, 2, 3]])),
              json.dumps(evaluation(random_scores=[[1], [2, 3]])), json.dumps(evaluation(settings=[]))],
)  # fmt: skip
def test_a_damaged_evaluation_says_how_to_write_it_anew(tmp_path: Path, wrong: str) -> None:
    file = tmp_path / "evaluation.json"
    file.write_text(wrong)
    (tmp_path / "config.json").write_text(config())
    text = message([tmp_path])
    assert f"{file} is " in text
    assert "damaged" in text
    assert f"metarl evaluate {tmp_path} --json {file}" in text


def test_no_evaluation_yet(tmp_path: Path) -> None:
    assert f"there is no {tmp_path / 'evaluation.json'}" in message([tmp_path])
    assert f"metarl evaluate {tmp_path} --json" in message([tmp_path])


def test_the_picture_has_a_line_a_row_and_the_published_ones(tmp_path: Path) -> None:
    comparison = compare(write(tmp_path, evaluation(), evaluation("promp"), evaluation("promp", 1)))
    (axis,) = picture(comparison, references={"the paper": [-9.0, -5.0]}).axes
    drawn = {container.get_label(): container[0] for container in axis.containers}
    assert list(drawn) == ["maml", "promp", "random initialisation", "the paper"]
    for row in comparison.rows:
        np.testing.assert_array_equal(drawn[row.name].get_ydata(), [found.value for found in row.mean])
    assert "point-nav, 3 held-out tasks" in axis.get_title()
    assert comparison.intervals.split("; ") == axis.get_title().split("\n", 1)[1].split(";\n")  # each on a line
    assert axis.get_ylabel() == "mean return"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"steps": "01"}, "steps is '01'"), ({"steps": [0, 2]}, r"steps is \[0, 2\]"), ({"steps": []}, r"steps is \["),
        ({"random_scores": [[float("nan"), 0, 0]] * 2}, "random_scores is"), ({"scores": None}, "scores is None"),
        ({"scores": [["a", 1, 2]] * 2}, "scores is"), ({"scores": [[1, 2, 3], [1, 2]]}, "scores does not have"),
        ({"tasks": 0}, "tasks is 0"), ({"tasks": True}, "tasks is True"), ({"iteration": -1}, "iteration is -1"),
        ({"env_steps": 1.5}, "env_steps is 1.5"), ({"metric": "speed"}, "metric is 'speed'"),
        ({"seed": None}, "seed is"), ({"preset": ["maml"]}, "preset is"), ({"goals": [1, 2, 3]}, "goals is"),
        ({"transductive": "no"}, "transductive is 'no'"),
        ({"settings": {"seed": "0"}}, "settings.seed is '0'"),
    ],
)  # fmt: skip
def test_an_evaluation_that_was_edited(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    (file,) = write(tmp_path, evaluation() | change)
    with pytest.raises(ValueError, match=rf"^[^\n]*0.json is damaged \({said}[^\n]*: evaluate again by [^\n]*$"):
        compare([file])


def test_what_is_no_file_or_has_no_end_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "evaluation.json"
    file.write_text("[" * 100_000)
    assert "is damaged" in message([file])
    file.unlink()
    os.mkfifo(file)
    assert "is a pipe, not a file" in message([file])
    assert "is a pipe, not a file" in message([tmp_path])
