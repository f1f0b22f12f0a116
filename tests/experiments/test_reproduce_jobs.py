"""`metarl reproduce --jobs N`: the same results for any N, runs that fail or are stopped, and what is shown."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from metarl.experiments import presets
from metarl.experiments.cli import main
from metarl.experiments.config.run import Config
from metarl.experiments.recipes import pool, recipe
from metarl.experiments.recipes.job import Job
from metarl.experiments.recipes.overview import Overview
from metarl.experiments.recipes.recipe import Recipe
from metarl.experiments.recipes.table import RECIPES
from metarl.run.display import PROGRESS, Display

CPU = torch.device("cpu")
TASK = "point-nav-2017"
STEPS = 3 * 2 * 10 * 3  # environment steps of an iteration: tasks × trajectories × steps × (2 supports, 1 query)
ITERATIONS = 60
LONG = """
import test_reproduce_jobs as test
from pathlib import Path
from metarl.experiments.cli import guarded
test.recipe.preset = test.small
run = lambda: test.long.run(jobs=2, runs=Path("runs"), results=Path("results"), device=test.CPU)
guarded(run)
"""


def small(name: str) -> Config:
    """The preset with a few short trajectories, and no checkpoint before the end."""
    config = presets.preset(name)
    task = config.task.but(trajectories=2, train_trajectories=None, horizon=10, hidden=(8, 8))
    sizes = {"meta_batch": 3, "checkpoint_every": 10_000, "test_tasks": 3, "validation_tasks": 3}
    return replace(config, task=task, torch_threads=1, threads=1, **sizes)


long = Recipe(TASK, ITERATIONS * STEPS, ("maml", "reptile"), (0,))


def weights(run: Path) -> bytes:
    return max(run.glob("checkpoints/*/weights.safetensors")).read_bytes()


def test_the_number_of_jobs_changes_no_number(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(recipe, "preset", small)
    tried = Recipe(TASK, 4 * STEPS, ("gmps", "maml", "oracle"), (0,))
    name, options = f"{TASK}-0.001", {"methods": ("gmps", "maml"), "fraction": 0.001, "device": CPU}
    for job in tried.jobs(tmp_path / "runs-1" / name, seeds=(0,), **options)[:2]:
        job.run()  # the oracle and its pupil, in this process
    for jobs in (1, 2):
        tried.run(jobs=jobs, runs=tmp_path / f"runs-{jobs}", results=tmp_path / f"results-{jobs}", **options)
    for file in ("table.csv", "table.json"):
        assert (tmp_path / "results-1" / name / file).read_bytes() == (
            tmp_path / "results-2" / name / file
        ).read_bytes()
    for run in ("oracle-0", "gmps-0", "maml-0"):
        folders = [tmp_path / f"runs-{jobs}" / name / run for jobs in (1, 2)]
        assert weights(folders[0]) == weights(folders[1])
        assert (folders[0] / "progress.csv").read_bytes() == (folders[1] / "progress.csv").read_bytes()


def test_a_run_that_fails_is_named_and_the_others_are_finished(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(recipe, "preset", small)
    folder = tmp_path / f"{TASK}-0.001"
    folder.mkdir()
    (folder / "oracle-3").write_text("in the way")
    options = ["--methods", "gmps", "reptile", "--seeds", "3", "--fraction", "0.001", "--jobs", "2", "--runs"]
    with pytest.raises(SystemExit) as stopped:
        main(["reproduce", TASK, *options, str(tmp_path), "--results", str(tmp_path / "results")])
    assert stopped.value.code == 2
    said = capsys.readouterr().err.splitlines()
    what = f"{folder / 'oracle-3'} is not empty and was left as it is"
    assert said[-1].startswith(f"error: 2 of 3 runs in {folder} failed: oracle-3 ({what}")
    assert said[-1].endswith("; gmps-3 (its expert oracle-3 failed)")
    assert any(line.startswith(f"oracle-3: failed ({what}") for line in said)
    assert "gmps-3: failed (its expert oracle-3 failed)" in said
    assert sum("error: " in line for line in said) == 1
    assert "reptile-3: done" in said
    assert (tmp_path / "results" / folder.name / "reptile-3.json").exists()
    assert len((tmp_path / "results" / folder.name / "table.csv").read_text().splitlines()) > 1
    assert not (folder / "gmps-3").exists()


@pytest.mark.parametrize(
    ("program", "error"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "killed by SIGKILL"),
        ("raise RuntimeError('no such thing')", "RuntimeError: no such thing"),
        ("import sys; sys.exit(3)", "exit code 3"),
        ("print('error: the data are missing'); raise SystemExit(2)", "the data are missing"),
    ],
)
def test_however_a_process_ends_there_is_a_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, program: str, error: str
) -> None:
    monkeypatch.setattr(pool, "START", program)
    jobs = RECIPES[TASK].jobs(tmp_path, methods=("gmps", "maml"), seeds=(0,), device=CPU)
    assert [job.name for job in jobs] == ["oracle-0", "gmps-0", "maml-0"]
    assert pool.run_jobs(jobs, at_once=2) == {
        "oracle-0": error, "maml-0": error, "gmps-0": "its expert oracle-0 failed",
    }  # fmt: skip


@pytest.mark.parametrize("at_once", [1, 3])
def test_so_many_processes_at_once_and_each_its_share_of_the_cores(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, at_once: int
) -> None:
    """Each process waits until `at_once` have begun, then says how many threads it may use."""
    program = (
        "import os, sys, time, pathlib, pickle; pickle.load(sys.stdin.buffer); os.chdir(sys.path[-1])\n"
        "pathlib.Path(str(os.getpid())).touch()\n"
        f"while len(os.listdir()) < {at_once}: time.sleep(0.01)\n"
        "from metarl.envs.world import cores; print(os.environ['OMP_NUM_THREADS'], cores())"
    )
    monkeypatch.setattr(pool, "START", program)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "begun")])
    (tmp_path / "begun").mkdir()
    jobs = RECIPES[TASK].jobs(tmp_path, methods=("maml",), seeds=range(at_once), device=CPU)
    assert pool.run_jobs(jobs, at_once=at_once) == {}
    cores = max(1, len(os.sched_getaffinity(0)) // at_once)
    said = capsys.readouterr().err.splitlines()
    assert sorted(said) == sorted(
        f"maml-{seed}: {line}" for seed in range(at_once) for line in (f"{8 // at_once} {cores}", "done")
    )


def test_the_expert_of_each_seed_is_one_job(tmp_path: Path) -> None:
    def jobs(*methods: str) -> list[Job]:
        return RECIPES[TASK].jobs(tmp_path, methods=methods, seeds=(1, 2, 1), device=CPU)

    assert [(job.name, job.evaluated) for job in jobs("gmps")] == [
        ("oracle-1", False), ("gmps-1", True), ("oracle-2", False), ("gmps-2", True),
    ]  # fmt: skip
    both = jobs("gmps", "oracle")
    assert [job.name for job in both] == ["oracle-1", "gmps-1", "oracle-2", "gmps-2"]
    assert all(job.evaluated for job in both)
    assert [job.expert for job in both] == [None, tmp_path / "oracle-1", None, tmp_path / "oracle-2"]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="children are looked up in /proc")
def test_a_stopped_command_leaves_no_process_and_is_continued(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Killed first, then stopped by SIGTERM, then run to the end: the weights of a run that was not interrupted."""
    paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    runs = [tmp_path / "runs" / TASK / name for name in ("maml-0", "reptile-0")]

    def rows() -> list[int]:
        files = [run / "progress.csv" for run in runs]
        return [len(file.read_text().splitlines()) if file.exists() else 0 for file in files]

    def run_and_send(number: signal.Signals | None) -> tuple[int, str]:
        """The exit status and stderr of the command, which gets the signal `number` during training."""
        for run in runs:
            (run / "progress.csv").unlink(missing_ok=True)  # so that its rows are those of the new process
        command = [sys.executable, "-c", LONG]
        with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) as process:
            if number is not None:
                wait(lambda: max(rows()) > 3)
                started = children(process.pid)
                assert len(started) == 2
                process.send_signal(number)
            said = process.communicate(timeout=100)[1]
        if number is not None:
            wait(lambda: not any(Path(f"/proc/{pid}").exists() for pid in started))
        return process.returncode, said

    def checkpoints() -> list[int]:
        return [int(path.name) for run in runs for path in run.glob("checkpoints/*")]

    assert run_and_send(signal.SIGKILL)[0] == -signal.SIGKILL
    assert checkpoints() == []
    status, said = run_and_send(signal.SIGTERM)
    assert status == 130
    assert said.endswith("stopped; the same command continues the runs\n")
    assert said.count("maml-0: stopped\n") == said.count("reptile-0: stopped\n") == 1
    assert 3 <= max(checkpoints()) < ITERATIONS  # the other run may have just begun, and have none
    for iteration in checkpoints():
        assert f"-0: stopped after iteration {iteration}; continue with: metarl train --resume" in said
    status, said = run_and_send(None)
    assert status == 0, said
    monkeypatch.setattr(recipe, "preset", small)
    for job, run in zip(long.jobs(tmp_path, methods=long.methods, seeds=(0,), device=CPU), runs, strict=True):
        job.run()
        assert weights(run) == weights(job.path)
        assert json.loads((run / "evaluation.json").read_text())["iteration"] == ITERATIONS


def wait(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def children(parent: int) -> list[int]:
    """The ids of the processes whose parent is the process `parent`."""
    found = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = file.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        if int(fields[1]) == parent:
            found.append(int(file.parent.name))
    return found


def test_the_lines_of_a_run_are_shown_after_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    with Display(40, every=0) as display:
        display.show(10, "loss after 0/1 steps: 2 / [1]")
    line = capsys.readouterr().err.strip()
    found = PROGRESS.fullmatch(line)
    assert found is not None
    assert found.groups()[:3] == ("10", "40", "loss after 0/1 steps: 2 / [1]")
    with Overview(2) as overview:
        overview.start("maml-0")
        overview.say("maml-0", line)
        overview.end("maml-0", "done")
    assert capsys.readouterr().err.splitlines() == [f"maml-0: {line}", "maml-0: done"]


def test_on_a_terminal_there_is_a_bar_for_each_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    with Overview(2) as overview:
        overview.start("maml-0")
        overview.start("cnp-12")
        overview.say("cnp-12", "warning: [other] BLAS")
        overview.say("maml-0", "iteration 10/40  loss after 0/1 steps: 2 / [1]  ETA 1:23")
        overview.bars.refresh()
        shown = capsys.readouterr().err
        overview.end("maml-0", "done", finished=True)
    assert "cnp-12: warning: [other] BLAS" in shown  # above the bars, where it stays
    assert "iteration 10" not in shown
    for text in ("maml-0", "10/40", "ETA 1:23", "loss after 0/1 steps: 2 / [1]", "finished runs", "0/2"):
        assert text in shown
    assert "1/2" in capsys.readouterr().err


@pytest.mark.parametrize("value", ["0", "-1", "1000", "2.5", "all"])
def test_a_number_of_jobs_out_of_range_is_refused(
    value: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["reproduce", "sinusoid", "--jobs", value, "--runs", str(tmp_path)])
    assert stopped.value.code == 2
    shown = value if value.removeprefix("-").isdecimal() else f"'{value}'"
    assert capsys.readouterr().err == f"error: jobs is {shown}: give a whole number from 1 to 256\n"
    with pytest.raises(ValueError, match="jobs is 0"):
        RECIPES["sinusoid"].run(jobs=0, runs=tmp_path, device=CPU)
    assert not list(tmp_path.iterdir())
