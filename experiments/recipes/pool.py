"""Jobs that run side by side, each in a process of its own, with an equal share of the cores."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue

import torch

from metarl.experiments.recipes.job import Job
from metarl.experiments.recipes.overview import Overview
from metarl.run.display import notify
from metarl.run.interrupt import Interrupt

START = "from metarl.experiments.recipes.job import serve; serve()"
POLL = 0.2  # seconds until a signal is noticed


def run_jobs(jobs: Sequence[Job], *, at_once: int) -> dict[str, str]:
    """Run the jobs in order, up to `at_once` at a time. Returns the errors of those that fail, {name: one line}.

    A job waits for its expert, and the jobs after it do not wait for it. Each process uses 1 / `at_once` of the cores.
    The first Ctrl-C, SIGTERM or SIGHUP lets every process finish its iteration and write a checkpoint, a second one
    kills them; both raise KeyboardInterrupt. The processes end if this one is killed.
    """
    waiting, running = list(jobs), list[_Process]()
    lines: SimpleQueue[tuple[_Process, str | None]] = SimpleQueue()
    errors: dict[str, str] = {}
    with Interrupt() as interrupt, Overview(len(jobs)) as overview:
        try:
            while running or (waiting and not interrupt.requested):
                if interrupt.requested:
                    for process in running:
                        process.stop()
                elif len(running) < at_once and (job := _next(waiting, running)) is not None:
                    waiting.remove(job)
                    if job.expert is not None and job.expert.name in errors:
                        errors[job.name] = f"its expert {job.expert.name} failed"
                        overview.end(job.name, f"failed ({errors[job.name]})")
                    else:
                        running.append(_Process(job, lines, at_once=at_once))
                        overview.start(job.name)
                    continue
                try:
                    process, line = lines.get(timeout=POLL)
                except Empty:
                    continue
                name = process.job.name
                if line is not None:
                    process.last = line or process.last
                    if not line.startswith("error: "):  # this is the last line, and shown when the process has ended
                        overview.say(name, line)
                    continue
                running.remove(process)
                if (error := process.error()) is None:
                    overview.end(name, "done", finished=True)
                elif interrupt.requested:
                    overview.end(name, "stopped")
                else:
                    errors[name] = error
                    overview.end(name, f"failed ({error})")
        finally:
            for process in running:
                process.kill()
    if interrupt.requested:
        notify("stopped; the same command continues the runs")
        raise KeyboardInterrupt
    return errors


def _next(waiting: Sequence[Job], running: Sequence[_Process]) -> Job | None:
    """The first job that can be started, because its expert, if it has one, is not still to be trained."""
    unfinished = {job.path for job in (*waiting, *(process.job for process in running))}
    return next((job for job in waiting if job.expert not in unfinished), None)


class _Process:
    """The process of a job. What it prints is put into `lines`, line by line, and None at the end."""

    def __init__(self, job: Job, lines: SimpleQueue[tuple[_Process, str | None]], *, at_once: int) -> None:
        self.job, self.last, self.stopped = job, "", False
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", START], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, env=environment(at_once), process_group=0,
        )  # fmt: skip
        threading.Thread(target=self._read, args=(lines,), daemon=True).start()
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # it has ended already; stdin stays open, and tells it that this process lives
            self.process.stdin.write(pickle.dumps(job))
            self.process.stdin.flush()

    def stop(self) -> None:
        """Let the process finish its iteration and write a checkpoint."""
        if not self.stopped:
            self.process.terminate()
        self.stopped = True

    def kill(self) -> None:
        """End the process at once."""
        self.process.kill()
        self.process.wait()

    def error(self) -> str | None:
        """Why the process, which has closed its output, has failed, in one line; None if it has done the job."""
        code = self.process.wait()
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        if code < 0:
            return f"killed by {signal.Signals(-code).name}"
        return None if code == 0 else self.last.removeprefix("error: ") or f"exit code {code}"

    def _read(self, lines: SimpleQueue[tuple[_Process, str | None]]) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as output:
            for line in output:
                lines.put((self, line.decode(errors="replace").rstrip()))
        lines.put((self, None))


def environment(at_once: int) -> dict[str, str]:
    """The environment variables of a process that uses 1 / `at_once` of the cores, and at least one."""
    return {
        **os.environ,
        "OMP_NUM_THREADS": str(max(1, torch.get_num_threads() // at_once)),  # threads of torch and of NumPy's BLAS
        "LOCAL_WORLD_SIZE": str(at_once),  # processes on this machine, by which the simulators' threads are divided
        "PYTHONPATH": os.pathsep.join(os.path.abspath(path) for path in sys.path),
        "PYTHONIOENCODING": "utf-8",
        "TTY_COMPATIBLE": "0",  # plain lines
    }
