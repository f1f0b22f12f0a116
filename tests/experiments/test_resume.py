"""Runs that stop and go on: killed, interrupted, repeated; each equals one that never stopped, bit for bit."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

RUNS = {
    "sinusoid-maml": ("--iterations", "250", "--log-every", "5", "--checkpoint-every", "10"),
    "sinusoid-reptile": ("--iterations", "120", "--log-every", "5", "--checkpoint-every", "10"),
    "point-nav-2017-promp": ("--iterations", "30", "--checkpoint-every", "3", "--meta-batch", "3"),
    "half-cheetah-vel-maml": (
        "--iterations", "24", "--checkpoint-every", "2", "--meta-batch", "3", "--task.trajectories", "3",
        "--task.horizon", "20",
    ),
}  # fmt: skip


def start(*args: str, threads: int = 1) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "metarl.experiments.cli", "train", *args]
    env = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=env)


def finish(*args: str, threads: int = 1) -> None:
    process = start(*args, threads=threads)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said


def wait_for_rows(run: Path, rows: int, process: subprocess.Popen[str]) -> None:
    """Wait until progress.csv has so many rows; the process must still be at work then."""
    file = run / "progress.csv"
    for _ in range(6000):
        if file.exists() and len(file.read_text().splitlines()) > rows:
            assert process.poll() is None, "the run ended before it could be stopped: give it more iterations"
            return
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        time.sleep(0.01)
    pytest.fail("the run makes no progress")


def result(run: Path) -> tuple[bytes, bytes]:
    last = max((run / "checkpoints").iterdir())
    return (last / "weights.safetensors").read_bytes(), (run / "progress.csv").read_bytes()


@pytest.mark.parametrize("preset", RUNS)
def test_killed_and_resumed_equals_uninterrupted(preset: str, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finish(preset, *RUNS[preset], "--out", str(whole))
    process = start(preset, *RUNS[preset], "--out", str(killed))
    wait_for_rows(killed, 5, process)
    process.kill()
    process.communicate()
    assert result(killed) != result(whole)
    finish("--resume", str(killed))
    assert result(killed) == result(whole)
    finish("--resume", str(killed))  # a finished run has nothing left to do
    assert result(killed) == result(whole)


def test_interrupt_saves_and_says_how_to_go_on(tmp_path: Path) -> None:
    preset, run, whole = "sinusoid-maml", tmp_path / "run", tmp_path / "whole"
    settings = ("--iterations", "300", "--log-every", "5", "--checkpoint-every", "1000")
    process = start(preset, *settings, "--out", str(run))
    wait_for_rows(run, 3, process)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"metarl train --resume {run}" in said
    finish("--resume", str(run))
    finish(preset, *settings, "--out", str(whole))
    assert result(run) == result(whole)


def test_same_seed_same_run_whatever_the_threads(tmp_path: Path) -> None:
    preset = "half-cheetah-vel-maml"
    runs = [tmp_path / name for name in ("one", "two", "other")]
    settings = (*RUNS[preset], "--torch-threads", "1")
    finish(preset, *settings, "--threads", "1", "--out", str(runs[0]), threads=1)
    finish(preset, *settings, "--threads", "2", "--out", str(runs[1]), threads=2)
    finish(preset, *settings, "--seed", "1", "--out", str(runs[2]))
    assert result(runs[0]) == result(runs[1])
    assert result(runs[0]) != result(runs[2])


def test_two_processes_never_write_to_one_run(tmp_path: Path) -> None:
    run = tmp_path / "run"
    first = start("sinusoid-maml", "--iterations", "5000", "--log-every", "5", "--out", str(run))
    wait_for_rows(run, 1, first)
    second = start("--resume", str(run))
    _, said = second.communicate(timeout=60)
    first.kill()
    first.communicate()
    assert second.returncode == 2
    assert "another process" in said
