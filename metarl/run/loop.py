"""The training loop in a run folder: logging, checkpoints, resuming and interrupts."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace

from metarl.distributed import first, gather, run_on_first
from metarl.ranges import Count, Settings, Whole
from metarl.run.checkpoint import Record, Training, evenly_spaced
from metarl.run.display import notify
from metarl.run.folder import RunFolder, versions
from metarl.run.interrupt import Interrupt
from metarl.run.log import Log
from metarl.run.progress import last_iteration, missing_rows
from metarl.run.shared import in_step


@dataclass(frozen=True)
class Schedule(Settings):
    """The number of iterations of a run, and how often it writes a row of progress.csv and a checkpoint."""

    iterations: Count
    log_every: Count = 1
    checkpoint_every: Count = 10
    keep: Whole = 6
    """checkpoints that are kept, evenly spaced, in addition to the newest two; 0 keeps all"""

    def kept(self) -> set[int] | None:
        """The iterations whose checkpoints are kept, or None for all."""
        if not self.keep:
            return None
        first = [0]  # with a warm start there is a checkpoint before the first iteration
        planned = [*range(self.checkpoint_every, self.iterations, self.checkpoint_every), self.iterations]
        return {*evenly_spaced(planned, self.keep), *evenly_spaced(first + planned, self.keep)}


def run_training(
    run: RunFolder,
    training: Training,
    schedule: Schedule,
    *,
    initial: Record,
    metric: str,
    warm_start: Callable[[], float] | None = None,
    validate: Callable[[], dict[str, float]] | None = None,
    resume_command: str,
    title: str = "",
) -> None:
    """Train in the locked folder `run` to the end of `schedule`, starting from the newest checkpoint if there is one.

    A new run starts from the record `initial`. `warm_start`, if given, is called first: it sets the learner's weights
    and returns the seconds that it took. `validate` returns metrics that are added to each logged row. The display
    shows `title` and the scores called `metric`. A signal (see `Interrupt`) ends the run with KeyboardInterrupt, after
    a checkpoint is written and `resume_command`, which continues the run, is printed. Of several processes, process 0
    makes the starting point and writes the folder, and the others load it; when one gets a signal, all stop.
    """
    keep = schedule.kept()

    def begin() -> tuple[Record, str]:
        record, text = _starting_point(run, training, schedule, initial)
        if not run.checkpoints() and warm_start is not None:
            record = replace(record, seconds=warm_start())
            run.save(training, record, "", keep=keep)
        return record, text

    record, text = run_on_first(begin)
    if not first() and run.checkpoints():
        run.load(training)
    in_step(False, training.learner, record.iteration)
    env_steps, clock = record.env_steps, time.perf_counter()
    with Interrupt() as interrupt, ExitStack() as stack:
        log: Log | None = None
        if first():
            options = {"start": record.iteration, "total": schedule.iterations}
            log = stack.enter_context(Log(run.path, text, metric=metric, title=title, **options))
        for done, metrics in enumerate(training.updates(record.iteration), record.iteration + 1):
            env_steps += metrics.pop("env_steps", 0.0)
            if done % schedule.log_every == 0 or done == schedule.iterations:
                metrics.update(validate() if validate else {})
                if log is not None:
                    log.add(done, metrics, env_steps, (env_steps - record.env_steps) / (time.perf_counter() - clock))
            stop = in_step(interrupt.requested, training.learner, done)
            if done % schedule.checkpoint_every == 0 or done == schedule.iterations or stop:
                if log is not None:
                    seconds = record.seconds + time.perf_counter() - clock
                    run.save(training, Record(record.run, done, env_steps, seconds), log.progress.text, keep=keep)
                gather(None)  # no process continues or ends before it is written
            if stop and done < schedule.iterations:
                if log is not None:
                    notify(f"stopped after iteration {done}; continue with: {resume_command}")
                raise KeyboardInterrupt


def _starting_point(run: RunFolder, training: Training, schedule: Schedule, initial: Record) -> tuple[Record, str]:
    """Load the newest checkpoint into `training`; return its record and progress.csv up to there."""
    file = run.path / "progress.csv"
    if not run.checkpoints():
        if (last := last_iteration(file)) > schedule.checkpoint_every:  # the first one may be due
            raise ValueError(
                f"{run.path} has progress up to iteration {last} and no checkpoint: restore its checkpoints, or "
                "delete the folder and train again"
            )
        return initial, ""
    record, text = run.load(training)
    if (before := run.config["versions"].get("blas")) != (now := versions()["blas"]):
        notify(f"warning: the run was started with the BLAS {before}, and this is {now}: results will differ slightly")
    if missing := missing_rows(file, text):
        notify(f"warning: {file} is incomplete ({missing}); it was restored from the checkpoint")
    return record, text
