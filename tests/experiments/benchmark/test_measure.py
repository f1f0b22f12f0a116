"""Timings in turns, medians, ratios of rates, and the command line that keeps them."""

import json
from pathlib import Path

import pytest

from metarl.experiments.benchmark import __main__ as command
from metarl.experiments.benchmark.measure import Report, Timing, interleave, machine
from metarl.experiments.benchmark.sampling import Sampling


def test_calls_take_turns_and_the_first_round_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    clock = iter([0, 9, 20, 21, 30, 34, 40, 43, 50, 50.5, 60, 62, 70, 79])
    monkeypatch.setattr("metarl.experiments.benchmark.measure.time.perf_counter", lambda: next(clock))
    timings = interleave({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, repeats=3)
    assert order == ["a", "b"] * 4
    assert timings == {"a": Timing(2, 1, 3), "b": Timing(4, 0.5, 9)}


def test_ratios_are_of_rates(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report("title", "steps")
    ours = report.add("ours", Timing(2.0, 1.0, 3.0), work=1000)
    theirs = report.add("theirs", Timing(1.0, 1.0, 1.0), work=100)
    report.compare(ours, theirs)
    assert report.ratios == {("ours", "theirs"): 5.0}
    report.show()
    printed = capsys.readouterr().out
    assert "ours / theirs: 5" in printed
    assert "500" in printed
    as_json = report.as_json()
    assert as_json["rows"][0] == {"name": "ours", "seconds": 2.0, "low": 1.0, "high": 3.0, "rate": 500.0}
    assert as_json["ratios"] == [{"ours": "ours", "reference": "theirs", "ratio": 5.0}]


def test_machine_names_what_ran() -> None:
    found = machine()
    assert found["cores"] >= 1
    assert found["processor"]
    assert found["torch"]
    assert found["mujoco"].startswith(("4", "5"))


def test_results_are_kept_with_command_and_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    report = Report("title", "steps")
    report.add("ours", Timing(2.0, 1.0, 3.0), work=1000)
    monkeypatch.setattr(Sampling, "run", lambda self: [report])
    file = tmp_path / "out.json"
    command.main(["sampling", "--json", str(file)])
    kept = json.loads(file.read_text())
    assert kept["command"] == f"python -m metarl.experiments.benchmark sampling --json {file}"
    assert kept["machine"] == machine()
    assert kept["reports"] == [report.as_json()]


def test_a_result_that_could_not_be_kept_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Sampling, "run", lambda self: pytest.fail("it ran"))
    with pytest.raises(SystemExit) as stop:
        command.main(["sampling", "--json", str(tmp_path / "nowhere" / "out.json")])
    assert stop.value.code == 2
    assert "its folder does not exist" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        command.main(["nonsense"])
