"""The duration of a trust-region update and of its parts, and the accuracy of its approximation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector

from metarl.algorithms.trust_region import TRPO
from metarl.core import Episodes, Learner, collect, meta_gradient_and_outputs
from metarl.experiments.benchmark.iteration import sized
from metarl.experiments.benchmark.measure import Report, interleave
from metarl.experiments.config.run import Config
from metarl.experiments.config.settings import Device, Number
from metarl.experiments.runner import new_learner, pick_device
from metarl.ranges import Settings
from metarl.train import Stream, generator


@dataclass(frozen=True)
class Update(Settings):
    """The duration of a trust-region update: the meta-gradient, Hessian-vector products and the line search."""

    preset: str = "half-cheetah-vel-2017-maml"
    """preset with a trust region that is measured"""
    tasks: Number = 40
    """number of tasks in the meta-batch"""
    trajectories: Number = 20
    """number of trajectories per task in each batch"""
    repeats: Number = 3
    """number of rounds that are measured, after one that is not"""
    device: Device = "auto"
    """device of torch; auto: a GPU if there is one"""
    json: Path | None = None
    """JSON file to which the results are written"""

    def run(self) -> list[Report]:
        """Measure the parts on one meta-batch, and whole updates with approximate and exact Hessian products."""
        config = sized(self.preset, tasks=self.tasks, trajectories=self.trajectories)
        if not hasattr(config.algorithm, "curvature_every"):
            raise ValueError(f"{self.preset} has no trust region: choose a preset that ends in -maml or -fomaml")
        device = pick_device(self.device)
        distribution = config.distribution(device)
        learner = new_learner(config, distribution, device)
        sample = distribution.sample(config.meta_batch, generator(Stream.TRAIN, 0))
        episodes = collect(learner, sample, chunk=config.chunk)
        return [self.pieces(config, learner, episodes), self.whole(config, learner, episodes)]

    def pieces(self, config: Config, learner: Learner, episodes: Episodes) -> Report:
        """Measure each part of an update."""
        algorithm, again = _algorithm(config, learner), _algorithm(config, learner, recompute=True)
        _, gradients, old = meta_gradient_and_outputs(learner, episodes, algorithm._loss, chunk=config.chunk)
        with_old_outputs = episodes._replace(old=old)
        vector = torch.cat([g.flatten() for g in gradients])
        products = {
            "Hessian product, all samples": algorithm.hessian_product(episodes),
            f"Hessian product, {_some(algorithm)}": algorithm.hessian_product(algorithm.thinned(episodes)),
            "Hessian product, all samples, graphs built anew": again.hessian_product(episodes),
        }
        exact, estimate, _ = (product(vector) for product in products.values())
        timings = interleave(
            {
                "meta-gradient": lambda: meta_gradient_and_outputs(
                    learner, episodes, algorithm._loss, chunk=config.chunk
                ),
                "line search, one trial": lambda: algorithm.evaluate(with_old_outputs),
                **{name: _call(product, vector) for name, product in products.items()},
            },
            repeats=self.repeats,
        )
        report = Report(f"{self.preset}: pieces of an update, {config.meta_batch} tasks")
        for name, timing in timings.items():
            report.add(name, timing)
        all_, some, anew = report.rows[2:]
        report.compare(some, all_)
        report.compare(all_, anew)
        length, cosine = estimate.norm() / exact.norm(), torch.cosine_similarity(estimate, exact, dim=0)
        report.notes.append(
            f"{_some(algorithm)}: the product with the gradient is {float(length):.2f} times as long as the exact one, "
            f"at a cosine of {float(cosine):.4f}"
        )
        return report

    def whole(self, config: Config, learner: Learner, episodes: Episodes) -> Report:
        """Measure whole updates from the same parameters, and the angle between their steps."""
        algorithm = _algorithm(config, learner)
        kinds = {
            f"update, {_some(algorithm)}": algorithm,
            "update, exact (all samples)": _algorithm(config, learner, curvature_every=(1, 1)),
        }
        start = {name: value.clone() for name, value in learner.state_dict().items()}
        steps: dict[str, Tensor] = {}
        metrics: dict[str, dict[str, float]] = {}

        def update(name: str) -> None:
            learner.load_state_dict(start)
            before = parameters_to_vector(learner.parameters()).detach().clone()
            metrics[name] = kinds[name].update(episodes)
            steps[name] = parameters_to_vector(learner.parameters()).detach() - before

        timings = interleave({name: _call(update, name) for name in kinds}, repeats=self.repeats)
        report = Report(f"{self.preset}: whole updates, {config.meta_batch} tasks")
        some, exact = (report.add(name, timing) for name, timing in timings.items())
        report.compare(some, exact)
        cosine = torch.cosine_similarity(steps[some.name], steps[exact.name], dim=0)
        report.notes.append(f"the cosine of the angle between the two steps is {float(cosine):.4f}")
        for name in kinds:
            shown = {key: f"{metrics[name][key]:.4g}" for key in ("kl", "improvement", "step_size")}
            report.notes.append(f"{name}: {', '.join(f'{key} {value}' for key, value in shown.items())}")
        return report


def _algorithm(config: Config, learner: Learner, **settings: object) -> TRPO:
    return cast(TRPO, config.algorithm.but(**settings).outer_loop(config, learner))


def _call(function, *args):  # type: ignore[no-untyped-def]
    return lambda: function(*args)


def _some(algorithm: TRPO) -> str:
    support, query = algorithm.curvature_every
    return f"1/{support} of support, 1/{query} of query"
