"""The warm start of few-shot learners from an encoder that is pre-trained on all training classes at once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from metarl.core import Learner, collect
from metarl.experiments.config.run import Config
from metarl.experiments.presets.images import JOINT
from metarl.learners.per_step import MAMLPlusPlus
from metarl.nets.conv4 import Conv4, FeatureMaps
from metarl.nets.dense import Dense
from metarl.nets.resnet import ResNet12
from metarl.run.checkpoint import Record
from metarl.run.folder import RunFolder, versions
from metarl.run.loop import run_training
from metarl.train import Stream, generator, seed_torch

Encoder = Conv4 | FeatureMaps | Dense | ResNet12
BATCHES, IMAGES = 4, 50  # an iteration uses four batches of 50 images, each with its own batch normalisation
METRIC_SCALE = 0.5  # scale of the features of metric-based learners, whose distances are too large at variance 1


def warm_start(config: Config, learner: Learner, path: Path, *, device: torch.device, resume_command: str) -> float:
    """Pre-train an encoder with the settings `config`, in the run folder `path`, and load it into `learner`.

    Returns the duration of the pre-training in seconds. `resume_command` continues it after an interrupt.
    """
    weights, seconds = pretrained(config, path / "pretraining", device=device, resume_command=resume_command)
    load_encoder(learner, weights)
    return seconds


def encoders(learner: Learner) -> Sequence[Encoder]:
    """The nets of `learner` that can be pre-trained. Raises ValueError if there are none."""
    found = [module for module in learner.modules() if isinstance(module, Encoder)]
    if not found:
        raise ValueError(f"{type(learner).__name__} has no encoder to pre-train: give --task.pretraining 0")
    return found


def load_encoder(learner: Learner, weights: dict[str, Tensor]) -> None:
    """Load the pre-trained `weights` into the encoder of `learner`, and set a head that the inner loop adapts to 0.

    From a head of zeros, the first inner step computes class prototypes; a random head would add noise to them.
    """
    head = getattr(getattr(learner, "net", None), "head", None)
    for net in encoders(learner):
        net.load_state_dict({**net.state_dict(), **weights})
        if not isinstance(head, nn.Linear):
            scale_features(net, METRIC_SCALE)
    if isinstance(head, nn.Linear):
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
    if isinstance(learner, MAMLPlusPlus):
        learner.copy_initial_norms()


def scale_features(net: Encoder, factor: float) -> None:
    """Multiply all features by `factor` > 0, by scaling the last normalisation, which only a ReLU follows."""
    with torch.no_grad():
        for norm in net.last_norms:
            for name in ("weight", "bias"):
                net.get_parameter(f"{norm}.{name}").mul_(factor)


def pretrained(
    config: Config, path: Path, *, device: torch.device, resume_command: str = ""
) -> tuple[dict[str, Tensor], float]:
    """Pre-train an encoder on all classes at once. Returns its weights and the duration in seconds.

    The pre-training has its own run folder `path` with checkpoints. If another run in the same parent folder has
    finished the same pre-training, that is copied instead. Features are scaled to a mean variance of 1, because they
    grow without bound in classification, and inner steps with a given learning rate would then overshoot.
    """
    joint = joint_training(config)
    distribution = joint.distribution(device)
    seed_torch(generator(Stream.INIT, joint.seed))
    learner = joint.build_learner(distribution, device)
    training = joint.training(learner, distribution, device)
    run = _folder(path, joint)
    with run.locked():
        run_training(
            run, training, joint.schedule, initial=Record(run.config["run"]), metric=distribution.metric,
            resume_command=resume_command, title="pre-training on all classes at once: ",
        )  # fmt: skip
    (net,) = encoders(learner)
    batches = collect(learner, distribution.sample(BATCHES, generator(Stream.INIT, config.seed))).query
    with torch.no_grad():
        variance = float(torch.stack([net(x).var(0).mean() for x in batches.x]).mean())
    scale_features(net, variance**-0.5)
    return net.state_dict(), run.record().seconds


def _folder(path: Path, joint: Config) -> RunFolder:
    """The run folder of a pre-training: the existing one in `path`, a copy of a finished equal one, or a new one."""
    settings = json.loads(json.dumps(asdict(joint)))
    settings["task"]["data"] = None  # the data may have been moved
    stored = {"made_by": __name__, "preset": "pretraining", "settings": settings, "versions": versions()}
    if not (path / "config.json").exists():
        for other in sorted(path.parent.parent.glob(f"*/{path.name}")):
            with suppress(ValueError, OSError):  # errors in the folder of another run do not matter here
                run = RunFolder.open(other)
                same = all(run.config[name] == stored[name] for name in stored)
                if same and run.record().iteration == joint.iterations:
                    run.copy(path)
                    return RunFolder.open(path)
        return RunFolder.create(path, stored)
    run = RunFolder.open(path)
    if run.config["settings"] != stored["settings"]:
        raise ValueError(f"{path} was pre-trained with settings other than those of the run: delete or restore it")
    return run


def joint_training(config: Config) -> Config:
    """The settings of the pre-training, which are equal for runs that differ only in their methods."""
    return replace(
        JOINT.config(), task=config.task.joint_training(images=IMAGES), meta_batch=BATCHES,
        iterations=config.task.pretraining, seed=config.seed, torch_threads=config.torch_threads,
    )  # fmt: skip
