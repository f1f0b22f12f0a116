"""Settings of guided meta-policy search, in which adapted policies imitate an expert (Mendonca et al. 2019)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from metarl.algorithms.proximal import ProMP
from metarl.experiments.config.parts import OuterSettings
from metarl.experiments.config.ppo import check_environment
from metarl.experiments.config.settings import INCIDENTAL, Epochs, check_lrs
from metarl.objectives import final, multi_step
from metarl.ranges import NonNegative, Positive
from metarl.rl.guidance import Guided, expert_of, imitation
from metarl.run.checkpoint import Record, Training
from metarl.run.folder import RunFolder
from metarl.run.load import load, load_options
from metarl.run.pretrained import resolve_run

if TYPE_CHECKING:
    from metarl.core import Learner


@dataclass(frozen=True)
class GuidedSettings(OuterSettings):
    """Guided meta-policy search: the outer loop trains adapted policies to imitate an expert that observes the task."""

    expert: Annotated[str, tyro.conf.arg(name="expert", prefix_name=False)] = field(default="", metadata=INCIDENTAL)
    """run folder of the expert, a policy that observes the task; `metarl train TASK-oracle` trains one"""
    lr: Positive = 1e-3
    """learning rate of Adam in the outer loop"""
    lr_end: NonNegative = 1e-4
    """learning rate at the end of training; it decreases linearly"""
    step_weights: tuple[NonNegative, ...] = ()
    """weights of the imitation losses after each inner step; empty: only the loss after the last step"""
    freeze: str = ""
    """start of the names of parameters that are not trained, such as mean.layers.0"""
    epochs: Epochs = 10
    """number of passes over the episodes of an iteration"""
    penalty: NonNegative = 1.0
    """weight of the KL divergence from the policies that collected the support batches"""

    fixed_length = True
    guided = True

    def check_together(self) -> None:
        check_lrs(self.lr, self.lr_end)

    def check(self, config: Any) -> None:
        check_environment(config, "Guided")
        super().check(config)

    def outer_loop(self, config: Any, learner: Learner) -> ProMP:
        objective = multi_step(imitation, self.step_weights) if self.step_weights else final(imitation)
        return ProMP(
            learner, objective, config.task.divergence, lr=self.lr, lr_end=self.lr_end, iterations=config.iterations,
            epochs=self.epochs, penalty=self.penalty, freeze=self.freeze, chunk=config.chunk,
        )  # fmt: skip

    def training(self, config: Any, learner: Learner, distribution: Any, device: Any) -> Training:
        if not self.expert:
            raise ValueError(
                "guided meta-policy search needs an expert that observes the task: train one by `metarl train "
                "TASK-oracle --out DIR`, and give --expert DIR"
            )
        trained = load(self.expert, **load_options(device, None))
        try:
            expert = expert_of(trained.learner, trained.tasks, distribution)
        except ValueError as error:
            raise ValueError(f"{trained.path}: {error}") from None
        return super().training(config, learner, Guided(distribution, expert), device)

    def initial(self) -> Record:
        return replace(RunFolder.open(resolve_run(self.expert)).record(), run="", iteration=0)

    def quick(self, config: Any) -> Any:
        return config
