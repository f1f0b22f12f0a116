"""Several processes in trouble: one that is killed, and what is refused in one line."""

from __future__ import annotations

import os
import random
import signal
import socket
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from processes import command, errors, finish, free_port

SIZE = (
    "--iterations", 60, "--log-every", 30, "--checkpoint-every", 5, "--meta-batch", 4, "--chunk", 1,
    "--torch-threads", 1, "--validation-tasks", 4, "--device", "cpu",
)  # fmt: skip
KILLS = 20 if os.environ.get("METARL_FAULTS") == "all" else 2


def train(
    count: int, out: Path | str, *options: object, folder: Path, **environment: str
) -> tuple[list[BaseProcess], Path]:
    return command(count, "train", "sinusoid-maml", *SIZE, *options, "--out", out, folder=folder, **environment)


def result(run: Path) -> tuple[str, bytes]:
    return (run / "progress.csv").read_text(), (run / "checkpoints/00000060/weights.safetensors").read_bytes()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of one process."""
    folder = tmp_path_factory.mktemp("whole")
    processes, said = train(1, folder / "run", folder=folder)
    assert finish(processes) == [0], said.read_text()
    return folder / "run"


def test_a_killed_process_ends_all_and_started_again_they_end_as_if_it_had_lived(whole: Path, tmp_path: Path) -> None:
    rng, killed = random.Random(0), 0
    for kill in range(KILLS):
        run, count = tmp_path / f"run{kill}", 2 + kill % 2
        processes, said = train(count, run, folder=tmp_path)
        begin = time.monotonic()
        while not (run / "progress.csv").exists() and time.monotonic() < begin + 30:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.3))
        victim = rng.randrange(count)
        os.kill(processes[victim].pid or 0, signal.SIGKILL)
        begin = time.monotonic()
        codes = finish(processes)
        if codes[victim] == -signal.SIGKILL:  # it had not ended before
            killed += 1
            assert time.monotonic() - begin < 30
            assert all(code in (0, 2) for i, code in enumerate(codes) if i != victim), said.read_text()
            for line in errors(said):
                assert "has ended, and the others end with it" in line or "between the processes is lost" in line
        processes, said = train(5 - count, run, folder=tmp_path, TORCHELASTIC_RESTART_COUNT="1")
        assert finish(processes) == [0] * (5 - count), said.read_text()
        assert result(run) == result(whole)
    assert killed


@pytest.mark.parametrize(
    ("count", "options", "message"),
    [
        (5, (), "5 processes share 4 tasks: start at most 4, or give more tasks"),
        (2, ("--seed", "{rank}"), "processes differ in settings.seed (process 0: 0, process 1: 1): start all by the"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_in_one_line(count: int, options: tuple[str, ...], message: str, tmp_path: Path) -> None:
    processes, said = train(count, tmp_path / "run", *options, folder=tmp_path)
    assert finish(processes) == [2] * count
    (line,) = errors(said)
    assert message in line


def test_a_folder_that_not_all_see_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metarl.run.shared.VISIBLE_AFTER", 0.2)
    processes, said = train(2, str(tmp_path / "{rank}"), folder=tmp_path)
    assert finish(processes) == [2, 2]
    (line,) = errors(said)
    assert f"process 1 does not see the run folder {tmp_path}/" in line


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    port = free_port()
    with socket.socket() as taken:
        taken.bind(("", int(port)))
        taken.listen()
        processes, said = train(1, tmp_path / "run", folder=tmp_path, MASTER_PORT=port, WORLD_SIZE="2")
        assert finish(processes) == [2]
    (line,) = errors(said)
    assert f"127.0.0.1:{port} (the port is in use): give torchrun another --master-port" in line


def test_other_commands_run_in_one_process_and_the_run_folder_has_a_name(tmp_path: Path) -> None:
    for arguments, message in (
        (("list",), "metarl list runs in one process, and 2 were started: start it without torchrun"),
        (("train", "sinusoid-maml"), "several processes share a run folder: give it by --out DIR"),
    ):
        processes, said = command(2, *arguments, folder=tmp_path)
        assert finish(processes) == [2, 2]
        (line,) = errors(said)
        assert message in line


def test_evaluation_is_shared(whole: Path, tmp_path: Path) -> None:
    found = []
    for count in (1, 2):
        options = ("--tasks", 5, "--json", tmp_path / f"{count}.json", "--device", "cpu")
        processes, said = command(count, "evaluate", whole, *options, folder=tmp_path)
        assert finish(processes) == [0] * count, said.read_text()
        assert said.read_text().count("held-out tasks") == 1
        found.append((tmp_path / f"{count}.json").read_text())
    assert found[0] == found[1]
