"""Few-shot accuracy of metarl and of learn2learn, with the same network, initial weights, training and test tasks."""

from __future__ import annotations

import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from metarl.core import Distribution
from metarl.evaluation import evaluate
from metarl.experiments import runner, warm_start
from metarl.experiments.config.run import Config
from metarl.experiments.config.settings import Iterations, Number, Seed
from metarl.experiments.presets import preset
from metarl.losses import Samples, cross_entropy
from metarl.ranges import Settings
from metarl.statistics import mean_ci95
from metarl.train import Stream, generator, seed_torch, train

Classify = Callable[[nn.Module, Samples, Tensor, int], Tensor]  # (module, support, images, steps) to logits


class Score(NamedTuple):
    """The accuracy on test tasks, and the duration of training."""

    name: str
    steps: int  # number of gradient steps in tests
    mean: float
    ci95: float
    seconds: float


@dataclass
class Scores:
    """The accuracies of both libraries for one preset."""

    title: str
    rows: list[Score] = field(default_factory=list)

    def show(self) -> None:
        """Print the accuracies as a table."""
        table = Table("", "accuracy", "95 %", "seconds of training", title=self.title, title_justify="left")
        for row in self.rows:
            table.add_row(row.name, f"{row.mean:.1%}", f"± {row.ci95:.1%}", f"{row.seconds:.0f}")
        Console(width=120).print(table)

    def as_json(self) -> dict[str, Any]:
        """The scores as a JSON object, for `--json`."""
        return {"title": self.title, "rows": [row._asdict() for row in self.rows]}


@dataclass(frozen=True)
class Accuracy(Settings):
    """The accuracy of MAML and ProtoNet in metarl and, if it is installed, in learn2learn.

    Tasks are 5-way 1-shot tasks of Omniglot's small background sets. Both libraries train the same network from the
    same weights, on the same tasks in the same order, with the same outer optimiser.
    """

    data: str | None = None
    """folder of the data set; None: the environment variable METARL_DATA or, if it is not set, the user's cache"""
    iterations: Iterations = 1000
    """number of iterations of training"""
    tasks: Number = 600
    """number of test tasks"""
    seed: Seed = 0
    """seed of all random numbers"""
    json: Path | None = None
    """JSON file to which the results are written"""

    def run(self) -> list[Scores]:
        """Train and test both methods."""
        return [self.compare("maml", adapted), self.compare("protonet", by_prototypes)]

    def compare(self, method: str, classify: Callable[[Any, Config], Classify]) -> Scores:
        """Train the preset of `method` with both libraries, for the given number of iterations."""
        config = preset(f"omniglot-small-5way-1shot-{method}")
        config = replace(config.with_data(self.data), seed=self.seed, iterations=self.iterations)
        cpu = torch.device("cpu")
        learning, test = config.distribution(cpu), config.distribution(cpu, split="test")
        start = runner.new_learner(config, learning, cpu)
        if config.task.pretraining:
            with TemporaryDirectory() as folder:
                warm_start.warm_start(config, start, Path(folder) / "run", device=cpu, resume_command="")
        report = Scores(f"{method}: {self.iterations} iterations of {config.meta_batch} tasks, seed {self.seed}")

        learner = deepcopy(start)
        begin = time.perf_counter()
        for _ in train(
            config.outer_loop(learner), learning, iterations=self.iterations,
            meta_batch=config.meta_batch, seed=self.seed,
        ):  # fmt: skip
            pass
        seconds = time.perf_counter() - begin
        steps = config.test_steps if learner.gradient_steps else 1
        tested = runner.new_learner(config, test, cpu)
        tested.load_state_dict(learner.state_dict())
        rng = generator(Stream.TEST, 0)
        scores = evaluate(tested, test, steps=steps, num_tasks=self.tasks, rng=rng, at=(steps,), chunk=config.chunk)
        report.rows.append(Score("metarl", steps, *mean_ci95(scores[0]), seconds))

        try:
            library = import_module("learn2learn")
            import_module("learn2learn.nn")
        except ImportError:
            report.title += " (learn2learn is not installed)"
            return report
        theirs = deepcopy(start.get_submodule("net" if method == "maml" else "encoder"))
        begin = time.perf_counter()
        descend(theirs, classify(library, config), learning, config)
        seconds = time.perf_counter() - begin
        accuracies = accuracy(theirs, classify(library, config), test, tasks=self.tasks, steps=steps)
        report.rows.append(Score("learn2learn", steps, *mean_ci95(accuracies), seconds))
        return report


def adapted(learn2learn: Any, config: Config) -> Classify:
    """MAML in learn2learn: adaptation of a clone of the network."""
    lr = vars(config.learner)["lr"][0]

    def classify(module: nn.Module, support: Samples, images: Tensor, steps: int) -> Tensor:
        clone = learn2learn.algorithms.MAML(module, lr=lr, first_order=False).clone()
        for _ in range(steps):
            clone.adapt(cross_entropy(clone, support))
        return clone(images)

    return classify


def by_prototypes(learn2learn: Any, config: Config) -> Classify:
    """Prototypical networks in learn2learn: PrototypicalClassifier on the features of the network."""

    def classify(module: nn.Module, support: Samples, images: Tensor, steps: int) -> Tensor:
        return learn2learn.nn.PrototypicalClassifier(module(support.x), support.y)(module(images))

    return classify


def descend(module: nn.Module, classify: Classify, learning: Distribution, config: Config) -> None:
    """Minimise the mean query loss of the same tasks by Adam, one task at a time; the learning rate decreases to 0."""
    settings = vars(config.algorithm)
    freeze = settings["freeze"].removeprefix("net.")
    trained = [p for name, p in module.named_parameters() if not freeze or not name.startswith(freeze)]
    optimizer = torch.optim.Adam(trained, lr=settings["lr"])
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=config.iterations)
    for iteration in range(config.iterations):
        rng = generator(Stream.TRAIN, config.seed, iteration)
        seed_torch(rng)  # as in metarl's training, so that the tasks are the same
        tasks = learning.sample(config.meta_batch, rng)
        support, query = tasks.support(None, 0), tasks.query(None)  # type: ignore[arg-type]  # supervised
        optimizer.zero_grad()
        for t in range(tasks.n):
            logits = classify(module, Samples(support.x[t], support.y[t]), query.x[t], config.learner.steps)
            (nn.functional.cross_entropy(logits, query.y[t]) / tasks.n).backward()
        optimizer.step()
        schedule.step()


def accuracy(module: nn.Module, classify: Classify, test: Distribution, *, tasks: int, steps: int) -> np.ndarray:
    """The accuracy on the query of each of the test tasks, which are those of `metarl evaluate`."""
    batch = test.sample(tasks, generator(Stream.TEST, 0))
    support, query = batch.support(None, 0), batch.query(None)  # type: ignore[arg-type]
    correct = []
    for t in range(tasks):
        logits = classify(module, Samples(support.x[t], support.y[t]), query.x[t], steps).detach()
        correct.append(float((logits.argmax(-1) == query.y[t]).float().mean()))
    return np.array(correct)
