"""Worker processes: the same bits as in one process, and what becomes of those that fail, are killed or interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from forks import in_child
from own_envs import Line, MassPendulum

from metarl.core import Episodes, adapt, collect
from metarl.learners.gradient import GradientLearner
from metarl.nets.policy import GaussianPolicy
from metarl.rl.distributions import Gaussian
from metarl.rl.losses import surrogate
from metarl.rl.rollout import WorldDistribution, WorldTasks
from metarl.rl.workers import Workers

GOALS = [-0.9, 0.2, 0.4]


class InTorch(torch.nn.Module):
    """A policy without a NumPy form."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.mean = torch.nn.Linear(1, 80), torch.nn.Linear(80, 1)
        self.log_std = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor) -> Gaussian:
        return Gaussian(self.mean(torch.tanh(self.hidden(x))), self.log_std)


def learner(net: torch.nn.Module | None = None) -> GradientLearner:
    torch.manual_seed(0)
    return GradientLearner(net or GaussianPolicy(1, 1, hidden=(8,), activation="tanh"), surrogate)


def line(workers: int, **settings: Any) -> WorldDistribution:
    return WorldDistribution(
        partial(Line, **settings), trajectories=4, horizon=9, workers=workers, info={"near": "max", "t": "mean"}
    )


def started(tasks: WorldTasks) -> list[psutil.Process]:
    """The worker processes of a distribution."""
    simulator = tasks.distribution.simulator
    assert isinstance(simulator, Workers)
    assert simulator._started is not None
    return [psutil.Process(worker.process.pid) for worker in simulator._started.workers]


def roll_out(tasks: WorldTasks, by: GradientLearner | None = None) -> Any:
    return tasks.trajectories(next(adapt(by or learner(), tasks, steps=0))[0])


@pytest.fixture(scope="module")
def by_count() -> list[WorldDistribution]:
    """The same tasks, simulated by one, two and three processes, which the tests below share."""
    return [line(workers, edge=0.6) for workers in (1, 2, 3)]


@pytest.fixture
def two(by_count: list[WorldDistribution]) -> WorldDistribution:
    return by_count[1]


@pytest.mark.parametrize("net", [None, InTorch()], ids=["numpy", "torch"])
def test_the_number_of_workers_does_not_change_a_bit(
    net: torch.nn.Module | None, by_count: list[WorldDistribution]
) -> None:
    """In uneven shares, and where some episodes end early."""
    found: list[tuple[Episodes, list[Any], dict[str, float]]] = []
    by = learner(net)
    for distribution in by_count:
        tasks = distribution.sample(7, np.random.default_rng(0))
        episodes = collect(by, tasks)
        found.append((episodes, tasks.measured, tasks.metrics(episodes)))
    assert found[0][2]["env_steps"] < 2 * 7 * 4 * 9
    for other in found[1:]:
        assert other[2] == found[0][2]
        batches, wanted_ones = ([*episodes.support, episodes.query] for episodes in (other[0], found[0][0]))
        for batch, wanted in zip(batches, wanted_ones, strict=True):
            assert all(torch.equal(one, two) for one, two in zip(batch, wanted, strict=True))


FAULTS = {
    "raise": "step 3 of an episode of task 0.75: step raised KeyError: 'gripper' (own_envs.py, line",
    "nan reward": "step 3 of an episode of task 0.75: the reward is nan: correct the environment",
    "no reward": "step 3 of an episode of task 0.75: the reward is None: give a number",
    "two rewards": "step 3 of an episode of task 0.75: the reward is of the type ndarray of shape [2]: give a number",
    "inf": "step 3 of an episode of task 0.75: number 0 of the observation is inf: correct the environment",
    "shape": "step 3 of an episode of task 0.75: the observation is of the type ndarray of shape [3]: give numbers of",
    "four values": "step does not return (observation, reward, terminated, truncated, info), as Gymnasium",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_an_environment_gets_wrong_is_said_in_one_line(fault: str) -> None:
    tasks = line(1, fault=fault).tasks([*GOALS, 0.75], np.random.default_rng(0))
    with pytest.raises(ValueError) as error:  # noqa: PT011  (the whole message is looked at)
        roll_out(tasks)
    assert FAULTS[fault] in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("fault", "kind", "message"),
    [
        ("raise", ValueError, FAULTS["raise"]),
        (
            "exit",
            RuntimeError,
            "a worker process ended with exit code 3 in step 3 of an episode of task 0.75: look for",
        ),
        ("kill", RuntimeError, "a worker process was killed by SIGKILL in step 3 of an episode of task 0.75: look"),
    ],
)
def test_a_worker_that_fails_is_named_and_all_are_ended(fault: str, kind: type[Exception], message: str) -> None:
    distribution = line(2, fault=fault)
    roll_out(good := distribution.tasks(GOALS, np.random.default_rng(0)))
    processes = started(good)
    with pytest.raises(kind) as error:
        roll_out(distribution.tasks([*GOALS, 0.75], np.random.default_rng(0)))
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert not any(process.is_running() for process in processes)


def test_a_worker_that_is_killed_between_rollouts_is_named(by_count: list[WorldDistribution]) -> None:
    """The next rollout starts new ones."""
    one, two, _ = by_count
    roll_out(tasks := two.tasks(GOALS, np.random.default_rng(0)))
    processes = started(tasks)
    processes[1].kill()
    while processes[1].status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    with pytest.raises(RuntimeError, match=r"^Line: a worker process was killed by SIGKILL (before|in)"):
        roll_out(tasks)
    assert not processes[0].is_running()
    again, wanted = (roll_out(each.tasks(GOALS, np.random.default_rng(1))) for each in (two, one))
    assert all(torch.equal(mine, its) for mine, its in zip(again, wanted, strict=True))


def test_ctrl_c_ends_a_rollout_and_its_workers() -> None:
    distribution = line(2, fault="hang")
    roll_out(good := distribution.tasks(GOALS, np.random.default_rng(0)))
    processes = started(good)
    press = threading.Timer(1.0, lambda: os.kill(os.getpid(), signal.SIGINT))
    press.start()
    with pytest.raises(KeyboardInterrupt):
        roll_out(distribution.tasks([*GOALS, 0.75], np.random.default_rng(0)))
    assert not any(process.is_running() for process in processes)


def test_signals_to_the_workers_are_the_parents_to_act_on(two: WorldDistribution) -> None:
    """A scheduler sends SIGTERM to all: the parent finishes the iteration with its workers."""
    roll_out(tasks := two.tasks(GOALS, np.random.default_rng(0)))
    for process in (processes := started(tasks)):
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
    roll_out(tasks)
    assert started(tasks) == processes


def test_workers_of_a_parent_that_is_killed_are_gone(tmp_path: Path) -> None:
    """Also in the middle of a step that would take ten minutes."""
    script = tmp_path / "script.py"
    script.write_text(
        f"import sys; sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parent.parent)]!r}\n"
        "import threading, time, numpy as np\n"
        "from test_workers import GOALS, line, roll_out, started\n"
        "distribution = line(2, fault='hang')\n"
        "roll_out(good := distribution.tasks(GOALS, np.random.default_rng(0)))\n"
        "print(*[process.pid for process in started(good)], flush=True)\n"
        "threading.Timer(1.0, lambda: print('in it', flush=True)).start()\n"
        "roll_out(distribution.tasks([*GOALS, 0.75], np.random.default_rng(0)))\n"
    )
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        workers = [psutil.Process(int(pid)) for pid in parent.stdout.readline().split()]
        assert len(workers) == 2
        assert parent.stdout.readline() == "in it\n"
        parent.kill()
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


def test_a_forked_process_has_workers_of_its_own(two: WorldDistribution) -> None:
    wanted = roll_out(tasks := two.tasks(GOALS, np.random.default_rng(0)))
    processes = started(tasks)

    def same() -> None:
        again = roll_out(two.tasks(GOALS, np.random.default_rng(0)))
        assert all(torch.equal(mine, its) for mine, its in zip(again, wanted, strict=True))

    in_child(same)
    same()
    assert started(tasks) == processes


def test_what_cannot_be_sent_is_named() -> None:
    class Locked(GaussianPolicy):
        def __init__(self) -> None:
            super().__init__(1, 1)
            self.guard = threading.Lock()

    tasks = line(2).tasks(GOALS, np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"^the policies cannot be sent to worker processes \(TypeError: .*workers=1$"):
        roll_out(tasks, learner(Locked()))


def test_workers_are_as_many_as_cores_unless_told() -> None:
    counts = {workers: WorldDistribution(MassPendulum, horizon=5, workers=workers) for workers in (0, 1, 3)}
    assert [counts[n].simulator.count for n in (1, 3)] == [1, 3]  # type: ignore[attr-defined]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert counts[0].simulator.count == cores  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="workers is 2: PointNav is a World, which is simulated on threads"):
        WorldDistribution("metarl/PointNav-v0", workers=2)
