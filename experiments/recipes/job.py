"""A job of a recipe: one method is trained with one seed and evaluated, in a process of its own."""

from __future__ import annotations

import pickle
import sys
import threading
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from metarl.experiments import runner
from metarl.experiments.cli import guarded
from metarl.experiments.config.run import Config
from metarl.experiments.evaluation import evaluate_run
from metarl.experiments.report.stored import write_stored
from metarl.rl.workers import end_with_parent
from metarl.run.display import notify
from metarl.run.folder import RunFolder
from metarl.run.load import load_options, resume


@dataclass(frozen=True)
class Job:
    """The training of a preset in the run folder `path`, and the evaluation of its best checkpoint."""

    preset: str
    path: Path
    config: Config
    device: torch.device
    expert: Path | None = None  # the run folder of the job that must be done before this one
    evaluated: bool = True  # whether the run is evaluated after training

    @property
    def name(self) -> str:
        """The name of the run, METHOD-SEED."""
        return self.path.name

    def is_done(self) -> bool:
        """Whether nothing is left to do. Raises ValueError if the run in `path` was made with other settings."""
        if not (self.path / "config.json").exists():
            return False
        run, data = RunFolder.open(self.path), self.config.task.data
        made = replace(runner.settings(run).with_data(data), torch_threads=0)
        if made != replace(self.config.with_data(data), torch_threads=0):
            raise ValueError(
                f"{self.path} was made with other settings than the recipe's: move it, or choose other --runs"
            )
        return self._is_trained(run) and (self._evaluation.exists() or not self.evaluated)

    def run(self) -> None:
        """Train to the end, from the newest checkpoint if there is one, and write evaluation.json.

        The checkpoint that is best on validation tasks is evaluated on the test tasks.
        """
        data = self.config.task.data
        if not (self.path / "config.json").exists():
            notify(f"training, {self.config.iterations} iterations")
            runner.start(self.preset, self.config, self.path, device=self.device)
        elif not self._is_trained(RunFolder.open(self.path)):
            notify(f"training goes on, {self.config.iterations} iterations")
            resume(self.path, **load_options(self.device, data))
        if self.evaluated and not self._evaluation.exists():
            notify("choosing the checkpoint on validation tasks, and testing it")
            write_stored(evaluate_run(self.path, checkpoint="best", device=self.device, data=data), self._evaluation)

    @property
    def _evaluation(self) -> Path:
        return self.path / "evaluation.json"

    def _is_trained(self, run: RunFolder) -> bool:
        return max(run.checkpoints(), default=-1) >= self.config.iterations


def serve() -> None:
    """The main function of a job's process: it reads the job from its standard input, and ends when that is closed."""
    job: Job = pickle.load(sys.stdin.buffer)
    threading.Thread(target=end_with_parent, daemon=True).start()
    guarded(job.run)
