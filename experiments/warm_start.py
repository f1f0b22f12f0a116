"""A warm start of few-shot learners: an encoder that has first learned all training classes at once."""

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
BATCHES, IMAGES = 4, 50  # an iteration learns from four batches of 50 images, each normalised by itself
COMPARED = 0.5  # the scale of features that are compared, not adapted to: the variance 1 makes distances large


def warm_start(config: Config, learner: Learner, path: Path, *, device: torch.device, resume_command: str) -> float:
    """Pre-train an encoder as `config` says, in the run folder `path`, and let `learner` begin with it.

    Returns the seconds that it took. Interrupted, it is continued by the command `resume_command`.
    """
    weights, seconds = pretrained(config, path / "pretraining", device=device, resume_command=resume_command)
    plant(learner, weights)
    return seconds


def encoders(learner: Learner) -> Sequence[Encoder]:
    """The nets of `learner` that may begin pre-trained. Raises ValueError where there is none."""
    found = [module for module in learner.modules() if isinstance(module, Encoder)]
    if not found:
        raise ValueError(f"pretraining: {type(learner).__name__} has no encoder to pre-train: give it 0 iterations")
    return found


def plant(learner: Learner, weights: dict[str, Tensor]) -> None:
    """Let the encoder of `learner` begin with `weights`, and a last layer that the inner loop adapts with 0.

    From 0 the first inner step makes prototypes of the features; a random layer would be noise to them.
    """
    head = getattr(getattr(learner, "net", None), "head", None)
    for net in encoders(learner):
        net.load_state_dict({**net.state_dict(), **weights})
        if not isinstance(head, nn.Linear):
            scale_features(net, COMPARED)
    if isinstance(head, nn.Linear):
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
    if isinstance(learner, MAMLPlusPlus):
        learner.copy_initial_norms()


def scale_features(net: Encoder, factor: float) -> None:
    """Multiply all features by `factor` > 0, by way of their last normalisation: ReLU lets it through."""
    with torch.no_grad():
        for norm in net.last_norms:
            for name in ("weight", "bias"):
                net.get_parameter(f"{norm}.{name}").mul_(factor)


def pretrained(
    config: Config, path: Path, *, device: torch.device, resume_command: str = ""
) -> tuple[dict[str, Tensor], float]:
    """The weights of an encoder that was trained on all classes at once, and the seconds that it took.

    It is trained in `path`, a run folder of its own with checkpoints; a run beside this one that has done the same to
    its end is copied. Features are scaled to a mean variance of 1: in classification they grow without bound, and inner
    steps of a given size would then overshoot.
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
    """The run folder of a pre-training: the one in `path`, or a copy of a finished one of the same, or a new one."""
    settings = json.loads(json.dumps(asdict(joint)))
    settings["task"]["data"] = None  # wherever the data lie now
    stored = {"made_by": __name__, "preset": "pretraining", "settings": settings, "versions": versions()}
    if not (path / "config.json").exists():
        for other in sorted(path.parent.parent.glob(f"*/{path.name}")):
            with suppress(ValueError, OSError):  # it is another's to say what is wrong there
                run = RunFolder.open(other)
                same = all(run.config[name] == stored[name] for name in stored)
                if same and run.record().iteration == joint.iterations:
                    run.copy(path)
                    return RunFolder.open(path)
        return RunFolder.create(path, stored)
    run = RunFolder.open(path)
    if run.config["settings"] != stored["settings"]:
        raise ValueError(f"{path} was pre-trained with other settings than the run has: delete or restore it")
    return run


def joint_training(config: Config) -> Config:
    """The settings of the pre-training, the same for runs that differ in their methods only."""
    return replace(
        JOINT.config(), task=config.task.joint_training(images=IMAGES), meta_batch=BATCHES,
        iterations=config.task.pretraining, seed=config.seed, torch_threads=config.torch_threads,
    )  # fmt: skip
