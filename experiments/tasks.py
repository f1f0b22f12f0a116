"""Settings of tasks as typed dataclasses, and how they become distributions, nets and losses."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import tyro

from metarl.core import Loss, adapt
from metarl.envs import world_class
from metarl.envs.informed import informed
from metarl.experiments.settings import LAST, Fraction, Number, Part, Width, check_hidden
from metarl.learners.gradient import GradientLearner
from metarl.losses import cross_entropy, mse, squared_change
from metarl.nets.conv4 import Conv4
from metarl.nets.dense import Dense
from metarl.nets.mlp import MLP
from metarl.nets.policy import GaussianPolicy
from metarl.nets.resnet import ResNet12
from metarl.ranges import Positive, Range, Share
from metarl.rl.losses import clipped_surrogate, gaussian_kl, surrogate
from metarl.rl.rollout import WorldDistribution, WorldTasks
from metarl.sampling import sampled
from metarl.tasks.folder import Split, image_folder
from metarl.tasks.images import ImageClasses, Images
from metarl.tasks.joint import Joint
from metarl.tasks.miniimagenet import miniimagenet
from metarl.tasks.omniglot import omniglot
from metarl.tasks.sinusoid import Sinusoid
from metarl.train import Stream, generator

DataSet = Literal["omniglot", "omniglot-small", "miniimagenet", "folder"]
Architecture = Literal["conv4", "mlp", "resnet12"]
Ways = Annotated[int, Range(2, 1000)]
Deviation = Annotated[float, Range(0, 10, above=True)]
"""A standard deviation of a policy's output, which is at most 10."""
ImageNet = Conv4 | Dense | ResNet12


@dataclass(frozen=True)
class SinusoidConfig(Part, path="task"):
    """Sinusoid regression."""

    shots: Number = 5
    """K, support points a task"""
    train_shots: Number | None = None
    """support points a task in training, where they differ"""
    queries: Number = 10
    """query points a task"""
    hidden: tuple[Width, ...] = (40, 40)

    def check_together(self) -> None:
        check_hidden(self.hidden, "hidden")

    def distribution(self, device: torch.device, *, threads: int, split: Split) -> Sinusoid:
        shots = self.shots if split != "train" or self.train_shots is None else self.train_shots
        return Sinusoid(shots=shots, queries=self.queries, device=device)

    def net(self, distribution: Any) -> MLP:
        return MLP(1, 1, hidden=self.hidden)

    loss = staticmethod(mse)
    divergence = staticmethod(squared_change)

    def clipped(self, clip: float) -> Loss:
        return mse  # there is no ratio to clip: the penalty alone keeps the epochs near


@dataclass(frozen=True)
class LocomotionConfig(Part, path="task"):
    """An environment of metarl.envs and the policy that acts in it."""

    env: str = "metarl/HalfCheetahVel-v0"
    trajectories: Number = 20
    """episodes a task for each batch"""
    train_trajectories: Number | None = None
    """in training, where they differ"""
    horizon: Number | None = None
    """steps an episode; None: the environment's own"""
    discount: Share = 0.99
    gae_lambda: Share = 1.0
    gae_schedule: tuple[Share, Share, Fraction] | None = None
    """discount and gae_lambda as training begins, and the share of it over which they come to those above"""
    inner_gae: tuple[Share, Share] | None = None
    """discount and gae_lambda of support batches, in training and tests; None: as query's"""
    hidden: tuple[Width, ...] = (100, 100)
    activation: Literal["relu", "tanh"] = "relu"
    action_scale: Positive = 1.0
    """what the environment receives for a policy output of 1, in units of half the action range"""
    init_std: Deviation = 1.0
    """of the policy's output"""
    min_std: Deviation = 1e-6
    normalise: bool = False
    """shift and scale observations as a random policy sees them, fixed before training"""
    observe_goal: bool = False
    """the observations end with the task: an oracle's"""

    def check_together(self) -> None:
        check_hidden(self.hidden, "hidden")
        if self.min_std > self.init_std:
            raise ValueError(f"min_std is {self.min_std}, more than init_std, {self.init_std}: give min_std ≤ init_std")
        try:
            world_class(self.env)
        except ValueError as error:
            raise ValueError(f"env: {error}") from None

    def distribution(self, device: torch.device, *, threads: int, split: Split) -> WorldDistribution:
        return WorldDistribution(
            informed(world_class(self.env)) if self.observe_goal else self.env,
            trajectories=self.in_training if split == "train" else self.trajectories, horizon=self.horizon,
            discount=self.discount, gae_lambda=self.gae_lambda,
            gae_schedule=self.gae_schedule if split == "train" else None, inner_gae=self.inner_gae,
            action_scale=self.action_scale, threads=threads, device=device,
        )  # fmt: skip

    def net(self, distribution: Any) -> GaussianPolicy:
        world = distribution.template
        policy = GaussianPolicy(
            world.observation_space.shape[0], world.action_space.shape[0], hidden=self.hidden,
            activation=self.activation, init_std=self.init_std, min_std=self.min_std,
        )  # fmt: skip
        if self.normalise:
            policy.normalise(first_observations(policy, distribution))
        return policy

    @property
    def in_training(self) -> int:
        """Episodes a task for each batch in training."""
        return self.trajectories if self.train_trajectories is None else self.train_trajectories

    loss = staticmethod(surrogate)
    divergence = staticmethod(gaussian_kl)
    clipped = staticmethod(clipped_surrogate)


def first_observations(policy: GaussianPolicy, distribution: WorldDistribution) -> torch.Tensor:
    """What `policy` sees on ten tasks, always the same: [n, obs], on the CPU."""
    learner = GradientLearner(policy, surrogate, steps=0)
    tasks = sampled(distribution, 10, generator(Stream.INIT, 0))
    assert isinstance(tasks, WorldTasks)
    seen = tasks.trajectories(next(adapt(learner, tasks, steps=0))[0])
    return seen.observations[seen.mask.bool()].cpu()


FEW_SHOT = {"few_shot": True}
"""Marks a setting of few-shot tasks alone, which training on all classes at once has no use for."""


@dataclass(frozen=True)
class ImagesConfig(Part, path="task"):
    """Few-shot classification of images."""

    images: DataSet = "omniglot"
    """omniglot-small: the authors' small sets, whole alphabets held out; folder: class folders in --data"""
    data: Annotated[str | None, tyro.conf.arg(name="data", prefix_name=False)] = None
    """the folder of the data; None: METARL_DATA, or the user's cache"""
    ways: Ways = field(default=5, metadata=FEW_SHOT)
    """N, classes a task"""
    shots: Number = field(default=1, metadata=FEW_SHOT)
    """K, support images a class"""
    queries: Number = field(default=15, metadata=FEW_SHOT)
    """query images a class"""
    train_ways: Ways | None = field(default=None, metadata=FEW_SHOT)
    """classes a task in training, where they differ: for methods that have no parameters for each class"""
    train_shots: Number | None = field(default=None, metadata=FEW_SHOT)
    """support images a class in training, where they differ"""
    train_queries: Number | None = field(default=None, metadata=FEW_SHOT)
    """query images a class in training, where they differ"""
    architecture: Architecture = "conv4"
    """mlp: MAML's without convolutions; resnet12: MetaOptNet's"""
    filters: Annotated[int, Range(1, 1024)] = 64
    """of each convolution of Conv4"""
    shift: Annotated[int, Range(0, 32)] = 0
    """pixels that training images are moved by, at most: an augmentation"""
    warp: Annotated[float, Range(0, 0.3)] = 0.0
    """how far training images are turned, scaled and sheared: an augmentation, 0.1 is some degrees and a tenth"""
    mirror: bool = False
    """mirror images are further classes to train on: an augmentation"""
    same_alphabet: Share = field(default=0.0, metadata=FEW_SHOT)
    """share of training tasks whose classes are all of one alphabet"""
    pretraining: Annotated[int, Range(0, LAST)] = field(default=0, metadata=FEW_SHOT)
    """iterations in which the encoder learns all training classes at once, before few-shot tasks"""
    joint: bool = False
    """train on all classes at once, not on few-shot tasks (for finetune)"""

    def check_together(self) -> None:
        if self.data == "":
            raise ValueError("data is '': give a folder, or leave it out")

    def joint_training(self) -> ImagesConfig:
        """The same images, augmented and encoded alike, all classes at once: what an encoder is pre-trained on."""
        plain: dict[str, Any] = {f.name: f.default for f in fields(self) if f.metadata.get("few_shot")}
        return replace(self, **plain, joint=True)

    def distribution(self, device: torch.device, *, threads: int, split: Split) -> Images | Joint:
        train = split == "train"
        moves: dict[str, Any] = {"shift": self.shift, "warp": self.warp} if train else {}
        shots = self.train_shots if train and self.train_shots else self.shots
        queries = self.train_queries if train and self.train_queries else self.queries
        if train and self.joint:
            return Joint(self.classes(split), images=self.ways * queries, device=device, **moves)
        ways = self.train_ways if train and self.train_ways else self.ways
        return Images(
            self.classes(split), ways=ways, shots=shots, queries=queries,
            same_alphabet=self.same_alphabet if train else 0.0, device=device, **moves,
        )  # fmt: skip

    def classes(self, split: Split) -> ImageClasses:
        """The images of a split."""
        data = None if self.data is None else Path(self.data)
        if self.images == "folder":
            if data is None:
                raise ValueError("task.images is folder: say which folder of class folders by --data")
            classes = image_folder(data, split)
        elif self.images == "miniimagenet":
            classes = miniimagenet(data, split)
        else:
            classes = omniglot(data, split, protocol="small" if self.images == "omniglot-small" else "maml")
        return classes.mirrored() if self.mirror and split == "train" else classes

    def net(self, distribution: Any) -> ImageNet:
        return self._net(distribution, self.ways)

    def encoder(self, distribution: Any) -> ImageNet:
        """The net without its last layer: images to features."""
        return self._net(distribution, None)

    def _net(self, distribution: Any, outputs: int | None) -> ImageNet:
        channels, size, _ = distribution.classes.images.shape[1:]
        if self.architecture == "mlp":
            return Dense(channels, outputs, size=size)
        if self.architecture == "resnet12":
            return ResNet12(channels, outputs)
        return Conv4(channels, outputs, size=size, filters=self.filters, pool=size > 28)

    loss = staticmethod(cross_entropy)
    divergence = staticmethod(squared_change)

    def clipped(self, clip: float) -> Loss:
        return cross_entropy  # there is no ratio to clip: the penalty alone keeps the epochs near


def conv4(net: ImageNet, method: str) -> Conv4:
    """`net`, for a method that works inside Conv4. Raises ValueError where it is another."""
    if not isinstance(net, Conv4):
        raise ValueError(f"{method} works inside Conv4: train it with --task.architecture conv4")
    return net


TaskConfig = SinusoidConfig | LocomotionConfig | ImagesConfig
