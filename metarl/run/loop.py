"""The loop around training: progress and checkpoints in a run folder, going on where a run stopped, interrupts."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from metarl.ranges import Count, Settings, Whole
from metarl.run.board import Board
from metarl.run.checkpoint import Record, Training, evenly_spaced
from metarl.run.display import Display, notify
from metarl.run.folder import RunFolder, versions
from metarl.run.interrupt import Interrupt
from metarl.run.progress import ProgressFile, last_iteration, missing_rows

CLOCK = ("seconds_sampling", "seconds_update")  # never equal twice: to TensorBoard and the screen, not progress.csv


@dataclass(frozen=True)
class Schedule(Settings):
    """How long a run is, and how often it writes a row of progress.csv and a checkpoint."""

    iterations: Count
    log_every: Count = 1
    checkpoint_every: Count = 10
    keep: Whole = 6
    """checkpoints that are kept, evenly spaced, beside the newest two; 0: all"""

    def kept(self) -> set[int] | None:
        """The iterations whose checkpoints stay; None: all."""
        if not self.keep:
            return None
        first = [0]  # after a warm start there is a checkpoint before the first iteration
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
    """Train in the locked folder `run` until `schedule` ends, from its newest checkpoint if it has one.

    A fresh run begins as `initial` says and, where `warm_start` is given, with what that does to the learner, which
    returns the seconds that it took. `validate` adds its metrics to each logged row; `metric` is what the display
    shows, after `title`. A signal (see `Interrupt`) ends the run after a checkpoint with KeyboardInterrupt, once it has
    said `resume_command`, the command that continues it.
    """
    keep = schedule.kept()
    record, text = _starting_point(run, training, schedule, initial)
    if not run.checkpoints() and warm_start is not None:
        record = replace(record, seconds=warm_start())
        run.save(training, record, "", keep=keep)
    progress = ProgressFile(run.path / "progress.csv", text)
    env_steps, clock = record.env_steps, time.perf_counter()
    with (
        Interrupt() as interrupt,
        Board(run.path, start=record.iteration) as board,
        Display(schedule.iterations, start=record.iteration) as display,
    ):
        for done, metrics in enumerate(training.updates(record.iteration), record.iteration + 1):
            env_steps += metrics.pop("env_steps", 0.0)
            if done % schedule.log_every == 0 or done == schedule.iterations:
                metrics.update(validate() if validate else {})
                exact = {name: value for name, value in metrics.items() if name not in CLOCK}
                progress.append({"iteration": done, "env_steps": int(env_steps), **exact})
                rate = (env_steps - record.env_steps) / (time.perf_counter() - clock)
                board.add({**metrics, "env_steps_per_second": rate}, done)
                display.show(done, title + _described(metrics, metric, rate))
            if done % schedule.checkpoint_every == 0 or done == schedule.iterations or interrupt.requested:
                seconds = record.seconds + time.perf_counter() - clock
                run.save(training, Record(record.run, done, env_steps, seconds), progress.text, keep=keep)
            if interrupt.requested and done < schedule.iterations:
                notify(f"stopped after iteration {done}; go on with: {resume_command}")
                raise KeyboardInterrupt


def _starting_point(run: RunFolder, training: Training, schedule: Schedule, initial: Record) -> tuple[Record, str]:
    """Where the run stands, with `training` put there: the record, and progress.csv up to it."""
    file = run.path / "progress.csv"
    if not run.checkpoints():
        if (last := last_iteration(file)) > schedule.checkpoint_every:  # else its first one may not have been written
            raise ValueError(
                f"{run.path} has progress up to iteration {last} and no checkpoint: put its checkpoints back, or "
                "delete the folder and train anew"
            )
        return initial, ""
    record, text = run.load(training)
    if (before := run.config["versions"].get("blas")) != (now := versions()["blas"]):
        notify(f"warning: the run was begun with NumPy's kernels {before}, and these are {now}: last bits will differ")
    if missing := missing_rows(file, text):
        notify(f"warning: {file} lacks what the run had written ({missing}); it was restored from the checkpoint")
    return record, text


def _described(metrics: dict[str, float], metric: str, rate: float) -> str:
    scores = {name.split("_")[1]: value for name, value in metrics.items() if name.startswith(metric + "_")}
    text = f"{metric} after {'/'.join(scores)} steps: {' / '.join(f'{score:.4g}' for score in scores.values())}"
    text = text if scores else f"loss {metrics.get('loss', math.nan):.4g}"
    return f"{text}  {rate:,.0f} env steps/s" if rate else text
