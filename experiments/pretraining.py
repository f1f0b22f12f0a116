"""The baselines of the MAML paper: a policy without adaptation, which PPO from Stable-Baselines3 trains on all tasks.

Finn et al. 2017 (section 5.3) compare MAML with a policy that is trained on random tasks and then fine-tuned, and with
an oracle that observes the task. Both are trained by PPO in sub-environments that sample a new task in each episode.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.vec_env import VecNormalize
from torch import nn

from metarl.algorithms.base import require_finite
from metarl.core import Distribution, Learner
from metarl.devices import one_thread
from metarl.distributed import refuse
from metarl.envs import TaskVectorEnv
from metarl.envs.baselines import BaselinesVecEnv
from metarl.experiments.config.ppo import PPOSettings
from metarl.learners.gradient import GradientLearner
from metarl.nets.policy import GaussianPolicy
from metarl.rl.rollout import WorldDistribution
from metarl.train import Stream, generator

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh}
METRICS = ("policy_gradient_loss", "value_loss", "approx_kl", "clip_fraction", "explained_variance", "std")


def copy_policy(policy: ActorCriticPolicy, net: GaussianPolicy) -> None:
    """Copy the weights of an MlpPolicy of Stable-Baselines3 to `net`, which has the same layers and activation.

    Afterwards both give the same actions, if the inputs of `policy` are `net.inputs()` of the observations, and the
    standard deviation is within the bounds of `net`. The value network is not copied.
    """
    hidden = [layer for layer in policy.mlp_extractor.policy_net if isinstance(layer, nn.Linear)]
    theirs = [*hidden, cast(nn.Linear, policy.action_net)]
    ours = cast("list[nn.Linear]", list(net.trunk.layers))
    shapes = [[tuple(layer.weight.shape) for layer in layers] for layers in (ours, theirs)]
    if shapes[0] != shapes[1]:
        raise ValueError(f"the policy's layers are {shapes[1]}, the net's {shapes[0]}: use the same sizes in both")
    with torch.no_grad():
        for mine, its in zip(ours, theirs, strict=True):
            mine.weight.copy_(its.weight)
            mine.bias.copy_(its.bias)
        net.log_std.copy_(policy.log_std)


class Pretraining:
    """PPO on the tasks of `distribution`, which copies the policy's weights to `learner` after every iteration.

    An iteration starts with new episodes and lasts one horizon. Its random numbers are determined by (seed, iteration),
    so that a resumed run equals an uninterrupted one. Rewards are divided by the running standard deviation of the
    discounted return (`VecNormalize`), and observations are normalised as in the learner's policy.
    """

    def __init__(
        self,
        options: PPOSettings,
        learner: Learner,
        distribution: Distribution,
        *,
        iterations: int,
        meta_batch: int,
        seed: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        """Prepare `iterations` iterations of training, each with `meta_batch` sub-environments for one horizon."""
        refuse("PPO")
        if not isinstance(distribution, WorldDistribution):
            raise ValueError(f"pre-training samples from a WorldDistribution, not {type(distribution).__name__}")
        if not isinstance(learner, GradientLearner) or not isinstance(learner.net, GaussianPolicy):
            raise ValueError("PPO trains only the policy of a GradientLearner with a GaussianPolicy: give one")
        self.options, self.net, self.iterations, self.seed = options, learner.net, iterations, seed
        self.learner: Learner = learner
        self.count = 0  # number of finished iterations
        self.size = meta_batch * distribution.horizon  # number of samples per iteration
        envs = TaskVectorEnv(
            distribution.kind, meta_batch, max_episode_steps=distribution.horizon, threads=distribution.threads
        )
        self.envs = VecNormalize(
            BaselinesVecEnv(envs, action_scale=distribution.action_scale, inputs=self.net.inputs()),
            norm_obs=False,
            gamma=distribution.discount,
        )
        layers = cast("list[nn.Linear]", list(self.net.trunk.layers))
        with warnings.catch_warnings(), one_thread():
            warnings.filterwarnings("ignore", message="You have specified a mini-batch size")  # which need not divide
            self.model = PPO(
                "MlpPolicy",
                self.envs,
                learning_rate=lambda _: self.lr,
                n_steps=distribution.horizon,
                batch_size=min(options.batch_size, self.size),
                n_epochs=options.epochs,
                gamma=distribution.discount,
                gae_lambda=options.gae_lambda,
                clip_range=options.clip,
                ent_coef=options.entropy,
                max_grad_norm=options.max_gradient,
                policy_kwargs={
                    "net_arch": {"pi": [layer.out_features for layer in layers[:-1]], "vf": list(options.value_hidden)},
                    "activation_fn": ACTIVATIONS[self.net.trunk.activation],
                    "log_std_init": float(self.net.log_std.detach()[0]),
                },
                seed=self._seed(Stream.INIT, 0),
                device=device,
            )
        self.model.set_logger(Logger(None, []))
        copy_policy(self.policy, self.net)

    @property
    def policy(self) -> ActorCriticPolicy:
        """The policy of Stable-Baselines3, which includes the value network."""
        return self.model.policy

    @property
    def lr(self) -> float:
        """The learning rate of Adam in this iteration."""
        begin, end = self.options.lr, self.options.lr_end
        return begin + (end - begin) * self.count / self.iterations

    def updates(self, start: int) -> Iterator[dict[str, float]]:
        """Yield the metrics of iterations `start`, `start` + 1, … to the last, each after its update.

        `return_0` is the mean return of the first episodes of all sub-environments.
        """
        for iteration in range(start, self.iterations):
            self.count = iteration
            begin, recorder = time.perf_counter(), Recorder()
            self.model.set_random_seed(self._seed(Stream.TRAIN, iteration))
            try:
                with one_thread():
                    self.model.learn(self.size, callback=recorder, log_interval=None)  # type: ignore[arg-type]
            except ValueError as error:
                if "but found invalid values" not in str(error):
                    raise
                raise FloatingPointError(  # instead of torch's error, which has many lines
                    "PPO's update gave a policy with parameters that are not finite: train with a smaller "
                    "--algorithm.lr; earlier checkpoints are valid"
                ) from None
            self._require_finite()
            copy_policy(self.policy, self.net)
            self.count = iteration + 1
            yield {
                "return_0": float(np.mean(list(recorder.returns.values()))),
                "env_steps": float(self.size),
                **{name: float(self.model.logger.name_to_value[f"train/{name}"]) for name in METRICS},
                "seconds_sampling": recorder.sampled - begin,
                "seconds_update": time.perf_counter() - recorder.sampled,
            }

    def state_dict(self) -> dict[str, Any]:
        """The weights of the policy and the value network, the state of Adam, and the statistics of rewards."""
        rewards = self.envs.ret_rms
        return {
            "policy": self.policy.state_dict(),
            "optimizer": self.policy.optimizer.state_dict(),
            "rewards": {"mean": float(rewards.mean), "var": float(rewards.var), "count": float(rewards.count)},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore `state_dict`."""
        self.policy.load_state_dict(state["policy"])
        self.policy.optimizer.load_state_dict(state["optimizer"])
        rewards, known = self.envs.ret_rms, state["rewards"]
        rewards.mean, rewards.var, rewards.count = np.array(known["mean"]), np.array(known["var"]), known["count"]

    def _seed(self, stream: Stream, iteration: int) -> int:
        return int(generator(stream, self.seed, iteration).integers(2**31))

    def _require_finite(self) -> None:
        largest = max(float(p.detach().abs().max()) for p in self.policy.parameters())
        require_finite("the largest weight after PPO's update", largest)


class Recorder(BaseCallback):
    """Records the return of each sub-environment's first episode in an iteration, and the time when sampling ends."""

    def __init__(self) -> None:
        super().__init__()
        self.returns: dict[int, float] = {}
        self.sampled = 0.0

    def _on_step(self) -> bool:
        for i in np.flatnonzero(self.locals["dones"]):
            self.returns.setdefault(int(i), self.locals["infos"][i]["episode"]["r"])
        return True

    def _on_rollout_end(self) -> None:
        self.sampled = time.perf_counter()
