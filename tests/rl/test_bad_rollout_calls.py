"""Calls that cannot work: each is refused by a ValueError of one line that says what is wrong and what to do."""

from collections.abc import Callable
from functools import cache
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3.common.evaluation import evaluate_policy
from toys import Track, random_rollout, track_learner

from metarl.core import Predictor, adapt
from metarl.envs import World
from metarl.learners.gradient import GradientLearner
from metarl.nets.policy import GaussianPolicy
from metarl.rl.advantages import advantages, discounted_sum, features, gae, linear_baseline
from metarl.rl.distributions import Bernoulli, Categorical, Gaussian, MultiCategorical
from metarl.rl.guidance import Guidance, Guided, goal_conditioned, imitation
from metarl.rl.loop import count_loops
from metarl.rl.losses import clipped_surrogate, masked_mean, mean_kl, surrogate
from metarl.rl.memory import Memory, Recorder
from metarl.rl.policy import AdaptedPolicy, adapt_policy
from metarl.rl.rollout import Trajectories, WorldDistribution, WorldTasks

NAN = float("nan")
SHARE = "give a finite number from 0 to 1"
POSITIVE = "give a finite number above 0"
CPU = torch.device("cpu")
ONE = torch.zeros(1)
Call = Callable[[], object]


class Wide(Track):
    observation_space = gymnasium.spaces.Box(-1, 1, (2, 2), np.float64)


class Net(torch.nn.Module):
    """A policy that is any function of observations and a parameter [1]."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function, self.parameter = function, torch.nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor) -> Any:
        return self.function(x, self.parameter)


def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def track(**settings: Any) -> WorldDistribution:
    return WorldDistribution(Track, **{"trajectories": 4, "threads": 1, **settings})


def two() -> WorldTasks:
    return track().tasks([[1.0], [-1.0]], generator())


def policy(net: torch.nn.Module, tasks: WorldTasks | None = None) -> Predictor:
    return next(adapt(GradientLearner(net, surrogate), tasks or two(), steps=0))[0]


def acting(function: Any) -> Trajectories:
    return two().trajectories(policy(Net(function)))


def wide(observations: int, actions: int) -> Predictor:
    return policy(GaussianPolicy(observations, actions, hidden=(4,)))


def adapted(**settings: Any) -> AdaptedPolicy:
    return AdaptedPolicy(wide(1, 1), Track.action_space, **settings)


def guided(expert: Any) -> Guidance:
    tasks = Guided(track(), expert).sample(2, generator())
    return tasks.query(policy(GaussianPolicy(1, 1, hidden=(4,)), tasks.tasks))


@cache
def seen() -> Any:
    return random_rollout(2, generator())


def gains(**changes: Any) -> torch.Tensor:
    arguments = {"observations": seen().observations, "rewards": seen().rewards, "mask": seen().mask, **changes}
    return advantages(**arguments)


DISTRIBUTION: dict[str, tuple[Call, str]] = {
    "a number": (lambda: WorldDistribution(3), "env is 3: give a text or a function"),
    "an unknown id": (lambda: WorldDistribution("metarl/AntVe-v0"), "unknown environment 'metarl/AntVe-v0': did you"),
    "no World": (lambda: WorldDistribution(int), "world is the class int: give a subclass of metarl.envs.World"),
    "an abstract World": (lambda: WorldDistribution(World), "World has no advance, initial, place, write, goals: d"),
    "what makes no World": (lambda: WorldDistribution(lambda n, threads: 3), "world returns 3: give a subclass"),
    "no flat World": (lambda: WorldDistribution(Wide), "Wide: observations have the shape (2, 2): make"),
    "no device": (lambda: track(device="gpu"), "device is 'gpu': give one that torch can use, such as cpu"),
    "a device as a number": (lambda: track(device=3), "device is 3: give a device or a text"),
    "no tasks": (lambda: track().sample(0, generator()), "n is 0: give a whole number from 1 up"),
    "part of a task": (lambda: track().sample(2.5, generator()), "n is 2.5: give a whole number from 1 up"),
    "no generator": (lambda: track().sample(2, None), "rng is None: give a Generator"),
    "a seed": (lambda: track().tasks([[1.0]], 3), "rng is 3: give a Generator"),
    "a task not allowed": (lambda: track().tasks([[5.0]], generator()), "Track: task [5.0] is not allowed: give"),
    "a task that is NaN": (lambda: track().tasks([[NAN]], generator()), "Track: task [nan] is not allowed: give"),
    "a task too long": (lambda: track().tasks([[1, 1]], generator()), "Track: tasks have shape (1, 2): give (1, 1)"),
    "tasks as text": (lambda: track().tasks("x", generator()), "Track: tasks are 'x': give numbers"),
    "tasks that are none": (lambda: track().tasks([], generator()), "the number of tasks is 0: give a whole number"),
    "NaN of training": (lambda: track().set_progress(NAN), f"fraction is nan: {SHARE}"),
    "more than all training": (lambda: track().set_progress(2), f"fraction is 2: {SHARE}"),
    "a world of none": (lambda: track().world(0), "num_envs is 0: give a whole number from 1 up"),
    "memory of a text": (lambda: track().memory("x"), "n is 'x': give a whole number from 0 up"),
    "no predictor": (lambda: two().trajectories(3), "predict is 3: give a Predictor"),
    "a query without": (lambda: two().query(None), "predict is None: give a Predictor"),
    "a support without": (lambda: two().support(None, 0), "predict is None: give a Predictor"),
    "a score without": (lambda: two().score(3), "predict is 3: give a Predictor"),
    "metrics of nothing": (lambda: two().metrics(3), "episodes is 3: give an Episodes"),
    "no discount": (lambda: two().rollout(wide(1, 1), NAN, 1.0), f"discount is nan: {SHARE}"),
    "policies of another batch": (
        lambda: track().tasks([[1.0]] * 3, generator()).trajectories(wide(1, 1)), "the predictor has 2 tasks, but"
    ),
    "a policy for more": (lambda: two().trajectories(wide(3, 1)), "the policy takes 3 observations and got 1: build"),
    "a policy of more": (
        lambda: two().trajectories(wide(1, 2)), "a policy samples actions (2, 4, 2) and log-probabilities (2, 4): re"
    ),
    "a policy without std": (lambda: acting(lambda x, p: x + p), "a policy's outputs are of the type ndarray of shape"),
    "a policy that fails": (
        lambda: acting(lambda x, p: Gaussian(x @ torch.zeros(5, 1), p)), "mat1 and mat2 shapes cannot be"
    ),
    "a plain pair": (lambda: acting(lambda x, p: (x, p)), "a policy's outputs are of the type tuple: let its forward"),
    "a policy of another std": (
        lambda: acting(lambda x, p: Gaussian(x, torch.zeros(3))), "means (1, 4, 1) and log standard deviations (1, 3)"
    ),
    "a policy of choices": (
        lambda: acting(lambda x, p: Categorical(x)), "the policy returns a Categorical distribution, but actions are in"
    ),
    "a policy that is NaN": (
        lambda: acting(lambda x, p: Gaussian(x * NAN, p)), "Track: action [nan] of sub-environment 0"
    ),
    "loops of nothing": (lambda: count_loops(0, 1), "tasks is 0: give a whole number from 1 up"),
    "memory of a negative size": (lambda: Memory().take((-1,)), "shape is (-1,): give a tuple in which each is"),
    "a recorder of nothing": (lambda: Recorder(Memory(), 0, 1, 1, device=CPU, staged=False), "tasks is 0: give a"),
    "a recorder nowhere": (lambda: Recorder(Memory(), 1, 1, 1, device="x", staged=False), "device is 'x': give a"),
}  # fmt: skip

GUIDANCE: dict[str, tuple[Call, str]] = {
    "no distribution": (lambda: Guided(Track, guided), "distribution is the class Track: give a WorldDistribution"),
    "no expert": (lambda: Guided(track(), 3), "expert is 3: give a function"),
    "no policy": (lambda: goal_conditioned(3), "policy is 3: give a MLPPolicy"),
    "no tasks": (lambda: Guided(track(), guided).sample(0, generator()), "n is 0: give a whole number from 1 up"),
    "one tensor": (lambda: guided(lambda x, task: x), "a policy's outputs are of the type Tensor of shape"),
    "labels of one task": (
        lambda: guided(lambda x, task: Gaussian(x[0], x[0, 0, 0])), "have shapes [(5, 4, 1), (1,)]: give (2, 5, 4) and"
    ),
    "labels of two numbers": (
        lambda: guided(lambda x, task: Gaussian(x.repeat(1, 1, 1, 2), torch.zeros(1))), "means have shape (2, 5, 4, 2)"
    ),
    "labels that are NaN": (
        lambda: guided(lambda x, task: Gaussian(x * NAN, torch.zeros(1))), "an expert's outputs are not"
    ),
    "labels of another kind": (
        lambda: imitation(lambda x: Categorical(x), Guidance(ONE, Gaussian(ONE, ONE), ONE, ONE)),
        "the KL divergence is of Categorical of sizes [1] from Gaussian of sizes [1, 1]: give",
    ),
    "a policy of elsewhere": (
        lambda: guided(goal_conditioned(GaussianPolicy(5, 1))), "the expert takes 5 observations, but there are 1 and a"
    ),
    "a rollout imitated": (lambda: imitation(lambda x: (x, x), seen()), "batch is of the type Rollout: give a"),
}  # fmt: skip

LOSSES: dict[str, tuple[Call, str]] = {
    "no clip": (lambda: clipped_surrogate(0), f"clip is 0: {POSITIVE}"),
    "clip NaN": (lambda: clipped_surrogate(NAN), f"clip is nan: {POSITIVE}"),
    "clip as text": (lambda: clipped_surrogate("x"), f"clip is 'x': {POSITIVE}"),
    "clipped without std": (
        lambda: clipped_surrogate(0.2)(lambda x: x, seen()), "a policy's outputs are of the type Tensor"
    ),
    "no policy": (lambda: surrogate(3, seen()), "predict is 3: give a function"),
    "no batch": (lambda: surrogate(lambda x: (x, x), 3), "batch is 3: give a Rollout"),
    "actions of another": (lambda: surrogate(lambda x: Gaussian(x, x), seen()), "means have shape (2, 6, 4, 3), log"),
    "no distributions": (lambda: mean_kl(3, 4, seen()), "a policy's outputs are 3: let its forward return"),
    "two kinds": (lambda: mean_kl(Gaussian(ONE, ONE), Bernoulli(ONE), seen()), "give two distributions of the same"),
    "two sizes": (
        lambda: mean_kl(Gaussian(torch.zeros(1, 2), torch.zeros(2)), Gaussian(torch.zeros(1, 1), ONE), seen()),
        "Gaussian of sizes [2, 2] from Gaussian of sizes [1, 1]: give two",
    ),
    "choices without numbers": (
        lambda: surrogate(lambda x: Categorical(x), seen()), "logits have shape (2, 6, 4, 3), actions (2, 6, 4, 2)"
    ),
    "too many choices": (
        lambda: surrogate(lambda x: MultiCategorical((x,)), seen()), "there are logits for 1 choices, but actions have"
    ),
    "other switches": (lambda: surrogate(lambda x: Bernoulli(x), seen()), "logits have shape (2, 6, 4, 3), actions (2"),
    "no mask": (lambda: masked_mean(torch.zeros(3), None), "mask is None: give a Tensor"),
    "discount": (lambda: gains(discount=2), f"discount is 2: {SHARE}"),
    "lambda": (lambda: gains(gae_lambda=NAN), f"gae_lambda is nan: {SHARE}"),
    "rewards of one task": (lambda: gains(rewards=seen().rewards[:1]), "have shapes (2, 6, 4, 3), (1, 6, 4), (2, 6"),
    "rewards in NumPy": (lambda: gains(rewards=seen().rewards.numpy()), "rewards is of the type ndarray of shape"),
    "rewards that are NaN": (lambda: gains(rewards=seen().rewards * NAN), "advantages are not finite: look for NaN"),
    "observations that are NaN": (lambda: gains(observations=seen().observations * NAN), "advantages are not finite"),
    "ridge": (lambda: linear_baseline(*seen()[:1], *seen()[4:], ridge=0), f"ridge is 0: {POSITIVE}"),
    "mask too short": (
        lambda: gae(seen().rewards, seen().rewards, seen().mask[:, :2], discount=0.9, gae_lambda=0.9), "(2, 2, 4): give"
    ),
    "sums over no time": (lambda: discounted_sum(torch.zeros(3), 0.9), "values have shape (3,): give [T, H, N]"),
    "sums by NaN": (lambda: discounted_sum(torch.zeros(1, 3, 1), NAN), "factor is nan: give a finite number"),
    "features of one": (lambda: features(torch.zeros(3)), "observations have shape (3,): give [T, H, N, obs]"),
    "features of a number": (lambda: features(3), "observations is 3: give a Tensor"),
}  # fmt: skip

POLICY: dict[str, tuple[Call, str]] = {
    "no predictor": (lambda: AdaptedPolicy(3, Track.action_space), "predictor is 3: give a Predictor"),
    "a task too many": (lambda: adapted(task=5), "task is 5: give a number from 0 to 1, as the predictor has 2 tasks"),
    "a task as text": (lambda: adapted(task="x"), "task is 'x': give a whole number"),
    "no scale": (lambda: adapted(action_scale=0), f"action_scale is 0: {POSITIVE}"),
    "scale NaN": (lambda: adapted(action_scale=NAN), f"action_scale is nan: {POSITIVE}"),
    "seed": (lambda: adapted(seed=-1), "seed is -1: give a whole number from 0 up"),
    "an observation too long": (lambda: adapted().predict(np.zeros(3)), "the policy takes 1 observations and got 3"),
    "an observation that is NaN": (lambda: adapted().predict([NAN]), "observations are not finite: look for NaN in"),
    "no observation": (lambda: adapted().predict(None), "observations are None: give numbers"),
    "text": (lambda: adapted().predict("x"), "observations are 'x': give numbers"),
    "a number": (lambda: adapted().predict(0.5), "observations have shape (): give [obs] or [n, obs]"),
    "three axes": (lambda: adapted().predict(np.zeros((2, 2, 1))), "observations have shape (2, 2, 1): give [obs]"),
    "another environment": (
        lambda: evaluate_policy(adapted(), gymnasium.make("metarl/PointNav-v0")), "takes 1 observations and got 2"
    ),
    "a task of no World": (lambda: adapt_policy(track_learner(), track(), 9.0), "Track: task [9.0] is not allowed"),
    "a task too long": (lambda: adapt_policy(track_learner(), track(), [1, 1]), "tasks have shape (1, 2): give (1, 1)"),
    "a task of text": (lambda: adapt_policy(track_learner(), track(), "x"), "Track: tasks are ['x']: give numbers"),
    "no task": (lambda: adapt_policy(track_learner(), track(), None), "Track: tasks are [None]: give numbers"),
    "no learner": (lambda: adapt_policy(3, track(), 1.0), "learner is 3: give a Learner"),
    "no distribution": (lambda: adapt_policy(track_learner(), 3, 1.0), "distribution is 3: give a WorldDistribution"),
    "steps": (lambda: adapt_policy(track_learner(), track(), 1.0, steps=-1), "steps is -1: give a whole number from 0"),
    "seed of adaptation": (lambda: adapt_policy(track_learner(), track(), 1.0, seed="x"), "seed is 'x': give a whole"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("call", "message"),
    [
        pytest.param(*case, id=f"{table}: {name}")
        for table, cases in (
            ("distribution", DISTRIBUTION), ("guidance", GUIDANCE), ("losses", LOSSES), ("policy", POLICY)
        )
        for name, case in cases.items()
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:Evaluation environment is not wrapped")
def test_is_refused_in_one_line(call: Call, message: str) -> None:
    with pytest.raises(ValueError) as refusal:  # noqa: PT011  (the whole message is looked at)
        call()
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)
