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
from metarl.experiments.config import Config
from metarl.experiments.encoded import EncodedConfig
from metarl.experiments.outer import DescentConfig
from metarl.experiments.tasks import ImagesConfig
from metarl.learners.baselines import FineTune
from metarl.learners.per_step import MAMLPlusPlus
from metarl.nets.conv4 import Conv4, Maps
from metarl.nets.dense import Dense
from metarl.nets.resnet import ResNet12
from metarl.run.checkpoint import Record
from metarl.run.folder import RunFolder, versions
from metarl.run.loop import run_training
from metarl.train import MetaTraining, Stream, generator, seed_torch

Encoder = Conv4 | Maps | Dense | ResNet12
BATCHES, IMAGES = 4, 50  # an iteration learns from four batches of 50 images, each normalised by itself
COMPARED = 0.5  # the scale of features that are compared, not adapted to: the variance 1 makes distances large


def wanted(config: Config) -> bool:
    """Whether a run begins with pre-training."""
    return isinstance(config.task, ImagesConfig) and config.task.pretraining > 0


def warm_start(config: Config, learner: Learner, path: Path, *, device: torch.device, go_on: str) -> float:
    """Pre-train an encoder as `config` says, in the run folder `path`, and let `learner` begin with it.

    Returns the seconds that it took. Interrupted, it is continued by the command `go_on`.
    """
    weights, seconds = pretrained(config, path / "pretraining", device=device, go_on=go_on)
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
        learner.level_norms()


def scale_features(net: Encoder, factor: float) -> None:
    """Multiply all features by `factor` > 0, by way of their last normalisation: ReLU lets it through."""
    with torch.no_grad():
        for norm in net.last_norms:
            for name in ("weight", "bias"):
                net.get_parameter(f"{norm}.{name}").mul_(factor)


def pretrained(
    config: Config, path: Path, *, device: torch.device, go_on: str = ""
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
    assert isinstance(learner, FineTune)
    training = MetaTraining(
        joint.build_algorithm(learner), distribution, iterations=joint.iterations, meta_batch=joint.meta_batch,
        seed=joint.seed,
    )  # fmt: skip
    run = _folder(path, joint)
    with run.locked():
        run_training(
            run, training, joint.schedule, begin=Record(run.config["run"]), metric=distribution.metric, go_on=go_on,
            title="pre-training on all classes at once: ",
        )  # fmt: skip
    net = learner.encoder
    assert isinstance(net, Encoder)
    batches = collect(learner, distribution.sample(BATCHES, generator(Stream.INIT, config.seed))).query
    with torch.no_grad():
        variance = float(torch.stack([net(x).var(0).mean() for x in batches.x]).mean())
    scale_features(net, variance**-0.5)
    return net.state_dict(), run.record().seconds


def _folder(path: Path, joint: Config) -> RunFolder:
    """The run folder of a pre-training: the one in `path`, or a copy of a finished one of the same, or a new one."""
    settings = asdict(joint) | {"task": asdict(joint.task) | {"data": None}}  # wherever the data lie now
    settings = json.loads(json.dumps(settings))
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
    assert isinstance(config.task, ImagesConfig)
    return Config(
        replace(config.task.joint_training(), ways=5, queries=IMAGES // 5), EncodedConfig("finetune"),
        DescentConfig(lr=0.003, lr_end=0.0), meta_batch=BATCHES, iterations=config.task.pretraining,
        seed=config.seed, chunk=1, torch_threads=config.torch_threads, log_every=10, checkpoint_every=100, keep=1,
    )  # fmt: skip
