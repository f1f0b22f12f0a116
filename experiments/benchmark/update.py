"""What an outer update costs, piece by piece, and what its approximation gives up."""

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
    """The trust-region update: the meta-gradient, Hessian products on all or some samples, the line search."""

    preset: str = "half-cheetah-vel-2017-maml"
    tasks: Number = 40
    trajectories: Number = 20
    repeats: Number = 3
    device: Device = "auto"
    json: Path | None = None

    def run(self) -> list[Report]:
        """Time the pieces on one collected meta-batch, then the whole update with the settings that trade."""
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
        """One of each piece of an update."""
        algorithm, again = _algorithm(config, learner), _algorithm(config, learner, recompute=True)
        _, gradients, old = meta_gradient_and_outputs(learner, episodes, algorithm._loss, chunk=config.chunk)
        judged = episodes._replace(query=(episodes.query, old))
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
                "line search, one trial": lambda: algorithm.evaluate(judged),
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
        """Whole updates, each from the same parameters, and how their steps differ from the exact one's."""
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
        report.notes.append(f"the two steps point the same way to a cosine of {float(cosine):.4f}")
        for name in kinds:
            said = {key: f"{metrics[name][key]:.4g}" for key in ("kl", "improvement", "step_size")}
            report.notes.append(f"{name}: {', '.join(f'{key} {value}' for key, value in said.items())}")
        return report


def _algorithm(config: Config, learner: Learner, **settings: object) -> TRPO:
    return cast(TRPO, config.algorithm.but(**settings).outer_loop(config, learner))


def _call(function, *args):  # type: ignore[no-untyped-def]
    return lambda: function(*args)


def _some(algorithm: TRPO) -> str:
    support, query = algorithm.curvature_every
    return f"1/{support} of support, 1/{query} of query"
