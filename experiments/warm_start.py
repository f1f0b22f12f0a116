"""A warm start of few-shot learners: an encoder that has first learned all training classes at once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor, nn

from metarl.convnets import Conv4, Maps
from metarl.core import Learner, collect
from metarl.dense import Dense
from metarl.experiments.config import Config
from metarl.experiments.encoded import EncodedConfig
from metarl.experiments.outer import DescentConfig
from metarl.experiments.tasks import ImagesConfig
from metarl.learners.baselines import FineTune
from metarl.learners.per_step import MAMLPlusPlus
from metarl.resnet import ResNet12
from metarl.run.progress import Display
from metarl.train import Stream, generator, seed_torch, train

Encoder = Conv4 | Maps | Dense | ResNet12
BATCHES, IMAGES = 4, 50  # an iteration learns from four batches of 50 images, each normalised by itself
COMPARED = 0.5  # the scale of features that are compared, not adapted to: the variance 1 makes distances large


def wanted(config: Config) -> bool:
    """Whether a run begins with pre-training."""
    return isinstance(config.task, ImagesConfig) and config.task.pretraining > 0


def warm_start(config: Config, learner: Learner, *, device: torch.device) -> float:
    """Pre-train an encoder as `config` says and let `learner` begin with it; returns the seconds it took."""
    weights, seconds = pretrained(_joint(config), device)
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


@lru_cache(maxsize=1)  # the methods of a recipe begin alike
def pretrained(config: Config, device: torch.device) -> tuple[dict[str, Tensor], float]:
    """The weights of an encoder that was trained on all classes at once, and the seconds that it took.

    Its features are scaled to a mean variance of 1: in classification they grow without bound, and inner steps of a
    given size would then overshoot.
    """
    begin = time.perf_counter()
    distribution = config.distribution(device)
    seed_torch(generator(Stream.INIT, config.seed))
    learner = config.build_learner(distribution, device)
    assert isinstance(learner, FineTune)
    updates = train(
        config.build_algorithm(learner), distribution, iterations=config.iterations, meta_batch=config.meta_batch,
        seed=config.seed,
    )  # fmt: skip
    with Display(config.iterations) as display:
        for done, metrics in enumerate(updates, 1):
            display.show(done, f"pre-training on all classes at once: loss {metrics['loss']:.3g}")
    net = learner.encoder
    assert isinstance(net, Encoder)
    batches = collect(learner, distribution.sample(BATCHES, generator(Stream.INIT, config.seed))).query
    with torch.no_grad():
        variance = float(torch.stack([net(x).var(0).mean() for x in batches.x]).mean())
    scale_features(net, variance**-0.5)
    return net.state_dict(), time.perf_counter() - begin


def _joint(config: Config) -> Config:
    """The settings of the pre-training, the same for runs that differ in their methods only."""
    task = config.task
    assert isinstance(task, ImagesConfig)
    joint = ImagesConfig(
        task.images, task.data, architecture=task.architecture, filters=task.filters, shift=task.shift,
        warp=task.warp, mirror=task.mirror, joint=True, ways=5, queries=IMAGES // 5,
    )  # fmt: skip
    return Config(
        joint, EncodedConfig("finetune"), DescentConfig(rate=0.003, rate_end=0.0), meta_batch=BATCHES,
        iterations=task.pretraining, seed=config.seed, chunk=1, torch_threads=config.torch_threads,
    )  # fmt: skip
