"""Signals in every command: no traceback, no hang, no half-written file, and a training goes on where it stopped."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from commands import LIMIT, Expect, Outcome
from interrupts import CASES, PIPES, Case, Pipe
from runs import LONGER, Runs, drafts, result
from sampling import sampled

METARL = [sys.executable, "-c", "from metarl.experiments.cli import main; main()"]


def test_there_are_as_many_as_there_should_be() -> None:
    assert len(CASES) + len(PIPES) >= 40


def command(case: Case, runs: Runs, place: Path) -> list[str]:
    if case.what == "train":
        return runs.stopped(case.kind, place / "run")
    finished = str(runs.evaluated(case.kind))
    more = {
        "evaluate": ["evaluate", finished, "--tasks", "20000", "--json", str(place / "out.json")],
        "compare": ["compare", finished, "--out", str(place / "out.png"), "--csv", str(place / "out.csv")],
        "plot": ["plot", finished, "--out", str(place / "out.png")],
        "video": ["video", finished, "--out", str(place / "out.mp4"), "--steps", "1"],
        "reproduce": ["reproduce", "sinusoid", "--fraction", "0.001", "--runs", "runs", "--results", "results"],
    }  # fmt: skip
    return more[case.what]


@pytest.mark.parametrize("case", sampled(CASES, 20), ids=str)
def test_a_signal(case: Case, runs: Runs, tmp_path: Path, expect: Expect) -> None:
    training, run = case.what == "train", tmp_path / "run"
    seconds, wanted = runs.whole(case.kind) if training else (1.0, None)
    running = runs.server.start(*command(case, runs, tmp_path), folder=tmp_path, whole=True)
    running.poll(case.after * seconds)
    for number in case.signals:
        running.send(number)
        time.sleep(case.apart)
    outcome = running.outcome(30)
    if outcome.kind == "done":  # it was faster
        expect(outcome, "done")
    elif outcome.kind == "killed" and -outcome.status in case.signals:
        expect(outcome, "killed")  # SIGTERM and SIGHUP, where nothing is to be saved: not yet, or not any more
        kept = [int(path.name) for path in run.glob("checkpoints/*")]
        assert len(case.signals) == 2 or not kept or max(kept) == LONGER[case.kind]
    else:
        expect(outcome, "interrupted")
        assert len(outcome.err.splitlines()) <= 6
        assert drafts(tmp_path) == [] or training
    if training:
        assert runs.server.run(*runs.stopped(case.kind, run)).kind == "done"
        assert result(run) == wanted


@pytest.mark.parametrize("pipe", sampled(PIPES, 6), ids=str)
def test_a_pipe(pipe: Pipe, runs: Runs, tmp_path: Path, label: Callable[[str], None]) -> None:
    text = pipe.command.replace("RUN", str(runs.evaluated("sinusoid"))).replace("NEW", str(tmp_path / "new"))
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "COLUMNS": "140"}
    (tmp_path / "metarl").write_text(f'#!/bin/sh\nexec {shlex.join(METARL)} "$@"\n')
    (tmp_path / "metarl").chmod(0o755)
    command = ["bash", "-c", f"set -o pipefail; {text}"]
    with (tmp_path / "closed").open("w+") as err:
        status = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=err, env=environment, cwd=tmp_path, timeout=LIMIT, check=False
        )
        err.seek(0)
        said = err.read()
    outcome = Outcome(status.returncode, status.stdout.decode(errors="replace"), said)
    good = outcome.status in pipe.statuses and outcome.kind != "traceback" and pipe.words in said + outcome.out
    label("went on" if good else "wrong")
    assert good, outcome


@pytest.mark.parametrize("after", sampled([0.1, 0.3, 0.5, 0.8, 1.1, 1.5, 2.0, 2.5], 8))
@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_while_importing_is_quiet(after: float, times: int, runs: Runs, tmp_path: Path, expect: Expect) -> None:
    args = ["evaluate", str(runs.evaluated("sinusoid")), "--tasks", "100000"]
    with subprocess.Popen(
        [*METARL, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    ) as process:
        time.sleep(after)
        for _ in range(times):
            process.send_signal(signal.SIGINT)
            time.sleep(0.02)
        out, err = process.communicate(timeout=LIMIT)
    outcome = Outcome(process.returncode, out, err)
    if outcome.status == -signal.SIGINT or (after < 0.3 and outcome.status == 1):  # before Python runs a line of ours
        label = "killed"
        expect(replace(outcome, status=-signal.SIGINT, err=""), label)
    else:
        expect(outcome, "interrupted")
        assert err == ""


def test_a_command_outside_the_main_thread(runs: Runs, tmp_path: Path, label: Callable[[str], None]) -> None:
    program = (
        "import sys, threading\nfrom metarl.experiments.cli import main\n"
        "thread = threading.Thread(target=main, args=(sys.argv[1:],))\nthread.start()\nthread.join()"
    )
    args = runs.command("sinusoid", tmp_path / "run")
    done = subprocess.run(
        [sys.executable, "-c", program, *args], cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT, check=True
    )
    equal = result(tmp_path / "run") == result(runs.finished("sinusoid")) and "Traceback" not in done.stderr
    label("equal" if equal else "wrong")
    assert equal, done.stderr
