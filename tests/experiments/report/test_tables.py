"""Tables of a comparison: what they say on a terminal, in CSV and in JSON; and `metarl compare` as a whole."""

import csv
import io
import json
from pathlib import Path

import pytest
from evaluations import evaluation, write
from matplotlib.image import imread
from rich.console import Console

from metarl.experiments.cli import main
from metarl.experiments.report.compare import Comparison, compare
from metarl.experiments.report.tables import table, write_csv, write_json


@pytest.fixture
def comparison(tmp_path: Path) -> Comparison:
    stored = [evaluation(), evaluation(training_seed=1), evaluation("promp"), evaluation("anil")]
    stored[0]["env_steps"] = 16_000_000
    stored[3]["scores"][1][2] = None
    return compare(write(tmp_path, *stored))


def said(comparison: Comparison, width: int = 140) -> list[str]:
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(table(comparison, width=width))
    return [line.rstrip() for line in console.export_text().splitlines()]


def test_table(comparison: Comparison) -> None:
    lines = said(comparison)
    maml, promp, anil = (next(i for i, line in enumerate(lines) if name in line) for name in (" maml", "promp", "anil"))
    first = comparison.rows[0].mean[1]
    assert lines[0].strip() == "point-nav: return (more is better) after k gradient steps"
    assert lines[maml].split()[:2] == ["maml", "mean"]
    assert float(lines[maml].split()[3]) == pytest.approx(first.value, abs=0.06)
    assert lines[maml + 1].strip().startswith("2 seeds")
    interval = lines[maml + 1].split("[")[2].rstrip("]").split(", ")
    assert [float(x) for x in interval] == pytest.approx([first.low, first.high], abs=0.06)
    assert "9,001 … 16M env steps" in lines[maml + 2]
    assert float(lines[maml + 2].split("IQM")[1].split()[1]) == pytest.approx(comparison.rows[0].iqm[1].value, abs=0.06)
    assert sum("env steps" in line for line in lines) == 3  # random initialisations took none
    means = comparison.rows[0].seed_means[0]
    low, high = lines[maml + 4].split("by seed")[1].split("…")[:2]
    assert float(low) == pytest.approx(means.min(), abs=0.06)
    assert float(high.split()[0]) == pytest.approx(means.max(), abs=0.06)
    assert sum("by seed  " in line for line in lines) == 2  # maml's and the random initialisation's
    assert "by seed" not in lines[promp + 4]
    assert lines[anil].split()[-1] == "diverged"
    assert "3 held-out tasks of seed 0" in " ".join(lines)
    assert "tasks, where there is one run" in " ".join(" ".join(lines).split())


def test_an_interval_is_told_to_two_digits(tmp_path: Path) -> None:
    for scale in (1e-3, 1.0, 100.0):
        scores = [[scale * 1.0, scale * 4.0, scale * 2.0]] * 2
        lines = said(compare(write(tmp_path, evaluation(metric="loss", scores=scores))))
        assert "loss (less is better)" in lines[0]
        low, high = next(line for line in lines if "[" in line).split("[")[1].split("]")[0].split(", ")
        decimals = len(low.partition(".")[2])
        assert decimals == len(high.partition(".")[2])
        assert 10 <= (float(high) - float(low)) / 2 * 10**decimals < 100 or (decimals == 0 and scale == 100)


def test_names_are_not_taken_for_markup(tmp_path: Path) -> None:
    files = write(tmp_path, evaluation(), evaluation(learner__name="[bold]"))
    assert any("[bold]" in line for line in said(compare(files)))


def test_steps_shown_are_those_that_fit(tmp_path: Path) -> None:
    long = evaluation()
    for name in ("scores", "random_scores"):
        long[name] = [long[name][0]] * 11
    long["steps"] = list(range(11))
    comparison = compare(write(tmp_path, long, evaluation("promp")))

    def shown(width: int) -> list[str]:
        header = next(line for line in said(comparison, width) if "method" in line)
        return header.replace("k = ", "").split()[1:]

    assert shown(80) == shown(60) == ["0", "1", "10"]
    assert shown(100) == ["0", "1", "5", "10"]
    assert shown(300) == [str(k) for k in range(11)]


def test_csv(comparison: Comparison, tmp_path: Path) -> None:
    write_csv(comparison, tmp_path / "table.csv")
    rows = list(csv.DictReader((tmp_path / "table.csv").open()))
    assert [(row["method"], row["gradient_steps"]) for row in rows[:4]] == [
        ("maml", "0"), ("maml", "1"), ("promp", "0"), ("promp", "1"),
    ]  # fmt: skip
    one, row = rows[1], comparison.rows[0]
    assert (one["preset"], one["seeds"], one["tasks"]) == ("point-nav-maml", "2", "3")
    assert one["env_steps"] == str(round((16_000_000 + 9001) / 2))
    for name, found in (("mean", row.mean[1]), ("iqm", row.iqm[1])):
        assert [float(one[name + end]) for end in ("", "_low", "_high")] == list(found)
    assert rows[5]["method"] == "anil"
    assert rows[5]["mean"] == rows[5]["iqm_high"] == ""


def test_json(comparison: Comparison, tmp_path: Path) -> None:
    write_json(comparison, tmp_path / "table.json")
    stored = json.loads((tmp_path / "table.json").read_text())
    assert (stored["task"], stored["metric"], stored["tasks"], stored["test_seed"]) == ("point-nav", "return", 3, 0)
    assert [row["method"] for row in stored["rows"]] == [row.name for row in comparison.rows]
    maml, row = stored["rows"][0], comparison.rows[0]
    assert (maml["seeds"], maml["env_steps"], maml["iterations"]) == ([0, 1], [16_000_000, 9001], [90, 91])
    for k in range(2):
        assert [maml[name][k] for name in ("mean", "mean_low", "mean_high")] == list(row.mean[k])
        assert [maml[name][k] for name in ("iqm", "iqm_low", "iqm_high")] == list(row.iqm[k])
    assert maml["seed_means"] == row.seed_means.tolist()
    anil = stored["rows"][2]
    assert anil["mean"][1] is None
    assert anil["seed_means"][1] == [None]
    assert anil["mean"][0] is not None


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = list(map(str, write(tmp_path, evaluation(), evaluation("promp"))))
    outputs = [tmp_path / name for name in ("c.png", "c.csv", "c.json")]
    main(["compare", *files, "--out", str(outputs[0]), "--csv", str(outputs[1]), "--json", str(outputs[2])])
    assert "point-nav: return" in capsys.readouterr().out
    assert imread(outputs[0]).shape == (750, 1200, 4)
    assert len(outputs[1].read_text().splitlines()) == 7
    assert len(json.loads(outputs[2].read_text())["rows"]) == 3


@pytest.mark.parametrize("option", [("--out", "c.jpg"), ("--csv", "no/c.csv"), ("--json", "no/c.json")])
def test_outputs_are_checked_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: tuple[str, str]
) -> None:
    with pytest.raises(SystemExit):
        main(["compare", str(tmp_path / "none"), option[0], str(tmp_path / option[1])])
    assert f"cannot write {tmp_path / option[1]}" in capsys.readouterr().err


def test_one_row_of_random_initialisation_and_all_of_them_in_files(tmp_path: Path) -> None:
    stored = [evaluation("maml"), evaluation("anil"), evaluation("promp")]
    for i, one in enumerate(stored):
        one["random_scores"][1][2] += i
    comparison = compare(write(tmp_path, *stored))
    lines = said(comparison)
    assert [line.split("mean")[0].strip() for line in lines if "mean  " in line] == [
        "maml", "anil", "promp", "random initialisation (maml)",
    ]  # fmt: skip
    assert any(line.split()[:1] == ["initialisation"] for line in said(comparison, width=50))  # not cut off
    assert "that of the first method; --csv and --json write those of all methods" in " ".join(" ".join(lines).split())
    write_csv(comparison, tmp_path / "table.csv")
    written = [row["method"] for row in csv.DictReader((tmp_path / "table.csv").open())]
    assert [name for name in dict.fromkeys(written) if name.startswith("random")] == [
        f"random initialisation ({method})" for method in ("maml", "anil", "promp")
    ]
