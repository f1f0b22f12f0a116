"""Worker processes that simulate environments written for Gymnasium, which cannot run in parallel on threads.

Each worker is a new Python process, independent of the threads and devices of this one. It receives a share of the
tasks of a meta-batch with their adapted policies, and writes the rollout into shared memory. There is no communication
during an episode.
"""

from __future__ import annotations

import mmap
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
import weakref
from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import partial
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any

import cloudpickle  # type: ignore[import-untyped]
import numpy as np
import torch
from torch.utils._pytree import tree_map

from metarl.core import Learner, Predictor
from metarl.envs.goals import task_in_words
from metarl.envs.tasked import Tasked
from metarl.rl.loop import Share
from metarl.rl.sequential import SequentialSimulator

ERRORS = {kind.__name__: kind for kind in (ValueError, FloatingPointError, OSError, MemoryError)}
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
START = "from metarl.rl.workers import serve; serve()"


class Workers(SequentialSimulator):
    """`count` worker processes, which are started when first needed, and end with this object or this process."""

    def __init__(self, kind: Tasked, *, envs: int, count: int) -> None:
        if os.name != "posix":
            raise ValueError(f"workers is {count}, but worker processes need a POSIX system: give workers=1")
        super().__init__(kind, envs=envs, count=count)
        self._started: _Started | None = None

    def run(
        self,
        shares: Sequence[Share],
        predict: Predictor,
        fields: Sequence[np.ndarray],
        *,
        scale: float,
        written: Callable[..., None],
    ) -> np.ndarray:
        """Simulate all shares and fill the fields [T, H, N, …]. Returns which trajectories diverged, [T·N] bool.

        Raises ValueError for errors of the environment or the policy, as in one process, and RuntimeError, with the
        task and the step, if a worker process ends. After an error or Ctrl-C, all workers are ended.
        """
        if self._started is None or self._started.pid != os.getpid():
            self._started = _Started(self.kind, self.envs, self.count)
        started = self._started
        try:
            recorded = started.share([field.shape for field in fields])
            learner = _pickled(_on_cpu(predict.learner), "the policies")
            setting = started.size, [field.shape for field in fields], learner, scale
            for worker in started.workers:
                started.exchange(worker, partial(worker.send, setting))
            diverged = started.simulate(shares, predict.states)
        except BaseException:
            started.end()
            self._started = None
            raise
        for field, values in zip(fields, recorded, strict=True):
            field[...] = values
        for writer in range(len(shares)):
            written(fields[0].shape[1], writer=writer)
        return diverged


class _Started:
    """The running worker processes, and the memory that they share with this process."""

    def __init__(self, kind: Tasked, envs: int, count: int) -> None:
        self.pid, self.kind, self.size = os.getpid(), kind, 0
        self.file = _shared_file()
        self.workers: list[_Worker] = []
        self.end = weakref.finalize(self, _end, self.workers, self.file, self.pid)
        try:
            pickled = _pickled((kind, envs), "the environment")
            for i in range(count):
                self.workers.append(_Worker(pickled, self.file, i, count))
        except BaseException:
            self.end()
            raise

    def share(self, shapes: Sequence[tuple[int, ...]]) -> list[np.ndarray]:
        """Arrays of these shapes in shared memory, which is enlarged if necessary."""
        size = _places(len(self.workers)) + 4 * sum(int(np.prod(shape)) for shape in shapes)
        if size > self.size:
            os.ftruncate(self.file, size)
            self.size, self.memory = size, mmap.mmap(self.file, size)
            self.at = np.frombuffer(self.memory, np.int64, 2 * len(self.workers)).reshape(-1, 2)
        return fields_in(self.memory, len(self.workers), shapes)

    def simulate(self, shares: Sequence[Share], states: Any) -> np.ndarray:
        """Let the workers simulate the shares; each worker gets the next share when it is idle."""
        waiting, diverged = list(enumerate(shares))[::-1], [np.empty(0, bool)] * len(shares)
        busy: dict[Connection, tuple[int, _Worker]] = {}
        idle = list(self.workers)
        while waiting or busy:
            while waiting and idle:
                (i, share), worker = waiting.pop(), idle.pop(0)
                part = tree_map(lambda leaf: leaf[share.rows].detach().cpu().clone(), states)  # noqa: B023
                self.at[worker.number] = 0
                busy[worker.connection] = i, worker
                self.exchange(worker, partial(worker.send, (share, part)), share)
            for connection in wait(list(busy)):
                i, worker = busy.pop(connection)  # type: ignore[call-overload]
                diverged[i] = self.exchange(worker, worker.receive, shares[i])
                idle.append(worker)
        return np.concatenate(diverged)

    def exchange(self, worker: _Worker, call: Callable[[], Any], share: Share | None = None) -> Any:
        """Call `call`, which communicates with `worker`. Raises RuntimeError, with task and step, if it has ended."""
        try:
            return call()
        except (EOFError, ConnectionError) as error:
            step, i = self.at[worker.number]
            task = task_in_words(share.tasks[i]) if share else ""
            when = f"in step {step} of an episode of task {task}" if share else "before it had a task"
            raise RuntimeError(
                f"{self.kind.name}: a worker process {worker.fate()} {when}: look for the reason above, or give fewer "
                "workers if memory ran out"
            ) from error


class _Worker:
    """A worker process, with the number `number` of `count`, and the connection to it."""

    def __init__(self, pickled: bytes, file: int, number: int, count: int) -> None:
        self.number = number
        self.connection, theirs = Pipe()
        arguments = [str(each) for each in (theirs.fileno(), file, number, count)]
        paths = os.pathsep.join(os.path.abspath(path) for path in sys.path)
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-W", "ignore", "-c", START, *arguments], stdin=subprocess.PIPE,
            pass_fds=(theirs.fileno(), file), env={**os.environ, **ONE_THREAD, "PYTHONPATH": paths}, process_group=0,
        )  # fmt: skip
        theirs.close()
        self.connection.send_bytes(pickled)

    def send(self, message: Any) -> None:
        self.connection.send_bytes(_pickled(message, "a task or a policy"))

    def receive(self) -> np.ndarray:
        """Which trajectories of a share diverged. Raises the error that occurred in the worker, if there was one."""
        answer = self.connection.recv()
        if isinstance(answer, np.ndarray):
            return answer
        kind, message, trace = answer
        raise ERRORS.get(kind, RuntimeError)(message) from RuntimeError(f"in a worker process:\n{trace}")

    def fate(self) -> str:
        """How the process ended, as the end of a sentence that begins with "a worker process"."""
        try:
            code = self.process.wait(10)
        except subprocess.TimeoutExpired:
            return "closed its connection"
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def _end(workers: Sequence[_Worker], file: int, pid: int) -> None:
    """End the processes, unless they belong to the parent of a forked process."""
    for worker in workers:
        if pid == os.getpid():
            worker.process.kill()
            worker.process.wait()
            assert worker.process.stdin is not None
            worker.process.stdin.close()
        worker.connection.close()
    os.close(file)


def serve() -> None:
    """The main function of a worker process, which simulates shares until its parent ends it or has ended."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)  # the parent ends this process after the iteration
    threading.Thread(target=end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    handle, file, number, count = map(int, sys.argv[1:])
    connection = Connection(handle)
    kind, envs = connection.recv()
    simulator = SequentialSimulator(kind, envs=envs)
    mapped = 0
    while True:
        try:
            message = connection.recv()
        except EOFError:
            return
        if len(message) == 4:
            size, shapes, pickled, scale = message
            if size != mapped:
                memory, mapped = mmap.mmap(file, size), size
            fields = fields_in(memory, count, shapes)
            learner: Learner = pickle.loads(pickled)
            at = memoryview(memory)[16 * number : 16 * number + 16].cast("q")
            continue
        share, states = message
        try:
            own = [field[share.rows] for field in fields]
            answer: Any = simulator.simulate(share, learner.arrays(states), own, scale, lambda steps: None, at)
        except Exception as error:
            answer = type(error).__name__, str(error) or type(error).__name__, traceback.format_exc()
        connection.send(answer)


def end_with_parent() -> None:
    """End this process, also during a step, when its standard input is closed because the parent has ended."""
    os.read(0, 1)
    os._exit(1)


def _shared_file() -> int:
    """A file for this process and its workers, which is in memory if the system supports it."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("metarl")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def fields_in(memory: mmap.mmap, workers: int, shapes: Sequence[tuple[int, ...]]) -> list[np.ndarray]:
    """Consecutive float32 arrays of these shapes in shared memory, after the steps and instances of all workers."""
    fields, place = [], _places(workers)
    for shape in shapes:
        fields.append(np.ndarray(shape, np.float32, memory, place))
        place += fields[-1].nbytes
    return fields


def _places(workers: int) -> int:
    """The number of bytes for the steps and instances of all workers, two int64 each."""
    return 16 * workers


def _on_cpu(learner: Learner) -> Learner:
    return deepcopy(learner).cpu() if any(p.device.type != "cpu" for p in learner.parameters()) else learner


def _pickled(value: Any, what: str) -> bytes:
    try:
        pickled: bytes = cloudpickle.dumps(value)
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0]
        raise ValueError(
            f"{what} cannot be sent to worker processes ({type(error).__name__}: {reason}): give workers=1"
        ) from error
    return pickled
