"""Presets of the environments, by task and method."""

from __future__ import annotations

from dataclasses import dataclass, replace

from metarl.experiments.config import Config
from metarl.experiments.inner import LearnerConfig
from metarl.experiments.outer import AlgorithmConfig, GuidedConfig, ProximalConfig, ReptileConfig, TrustRegionConfig
from metarl.experiments.ppo import PPOConfig
from metarl.experiments.tasks import LocomotionConfig

# Locomotion in the paper's physics (section 5.3): 100-100 units, std 1 the whole action range, horizon 200, α 0.1, then
# 0.05, tests with 20 trajectories a task. The paper trains ReLU policies on raw observations with λ = 1, 500 iterations
# of 40 tasks × 20 trajectories within a KL of 0.01; here smaller meta-batches within a larger KL, tanh, normalised
# observations and a shorter credit reach its returns with a fraction of its environment steps
# (docs/reproductions/what_mattered.md).
# In Gymnasium's physics (an action lasts five times as long) 64-64 units and horizon 100, as later work has it (ProMP,
# garage, learn2learn). There they scale actions by 0.1; 0.3 was better after one gradient step, 1 never got under way.
CHUNK = 4  # tasks differentiated at a time, by each thread: their tensors stay in the caches
LR = (0.1, 0.05)


@dataclass(frozen=True)
class Sizes:
    """What depends on the environment; `max_kl` is of trust regions alone."""

    meta_batch: int = 20
    trajectories: int | None = 10  # a task, in training; None: as many as in tests
    max_kl: float = 0.1
    gae_lambda: float = 0.97
    gae_schedule: tuple[float, float, float] | None = None
    inner_gae: tuple[float, float] | None = None
    iterations: int = 500
    normalise: bool = True
    validation_tasks: int = 20


POINT = Sizes(trajectories=None, gae_lambda=0.8, iterations=100, normalise=False, validation_tasks=200)
ANT_DIR = Sizes(10, 20, gae_lambda=0.95, gae_schedule=(0.9, 0.5, 0.05), inner_gae=(0.9, 0.5), iterations=1000)
SIZES = {  # where they differ
    "metarl/AntDir-v0": ANT_DIR,
    "metarl/PointNav-v0": replace(POINT, max_kl=0.01, gae_lambda=1.0),
    "metarl/PointNav-MAML2017-v0": POINT,
    "metarl/AntDir-MAML2017-v0": ANT_DIR,
    "metarl/AntVel-MAML2017-v0": Sizes(10, gae_schedule=(0.95, 0.8, 0.25), iterations=800),
}
METHODS: dict[str, tuple[LearnerConfig, AlgorithmConfig]] = {
    "maml": (LearnerConfig(lr=LR), TrustRegionConfig()),
    "fomaml": (LearnerConfig(lr=LR, first_order=True), TrustRegionConfig()),
    "meta-sgd": (LearnerConfig(lr=(0.1,), learn_lr=True), TrustRegionConfig()),
    "anil": (LearnerConfig(lr=LR, adapt="head"), TrustRegionConfig()),
    "gmps": (LearnerConfig(lr=LR), GuidedConfig()),
    "promp": (LearnerConfig(lr=LR), ProximalConfig()),
    "reptile": (LearnerConfig(steps=3, lr=LR), ReptileConfig(lr=1.0, lr_end=0.1)),
    "pretrained": (LearnerConfig(steps=0, lr=LR), PPOConfig()),  # the paper's baselines: one policy for all tasks,
    "oracle": (LearnerConfig(steps=0, lr=LR), PPOConfig()),  # and one that is told the task
}
PPO_ENVS = 256  # sub-environments
PPO_STEPS = {"pretrained": (3_000_000, 1_000_000), "oracle": (10_240_000, 3_072_000)}  # of training; on the point
GUIDED_ITERATIONS = 100


def locomotion(env: str, method: str) -> Config:
    """The preset of one environment id and method."""
    sizes, (learner, algorithm) = SIZES.get(env, Sizes()), METHODS[method]
    point, paper = "PointNav" in env, "MAML2017" in env
    task = LocomotionConfig(
        env, train_trajectories=sizes.trajectories, gae_lambda=sizes.gae_lambda, gae_schedule=sizes.gae_schedule,
        inner_gae=sizes.inner_gae, activation="tanh", normalise=sizes.normalise,
    )  # fmt: skip
    if not paper:
        task = replace(task, horizon=100, hidden=(64, 64), action_scale=1.0 if point else 0.3)
    if isinstance(algorithm, PPOConfig):
        told = method == "oracle"  # and has nothing to adapt to
        task = replace(task, gae_schedule=None, inner_gae=None, observe_goal=told)
        config = Config(task, learner, algorithm, meta_batch=PPO_ENVS, chunk=CHUNK, test_steps=0 if told else 3)
        return replace(config, iterations=round(PPO_STEPS[method][point] / config.env_steps))
    iterations = {"promp": 1001, "gmps": GUIDED_ITERATIONS}.get(method, sizes.iterations)
    if isinstance(algorithm, GuidedConfig):
        task = replace(task, gae_schedule=None)  # credit is for the inner loop alone
    if isinstance(algorithm, TrustRegionConfig):
        algorithm = replace(algorithm, max_kl=sizes.max_kl)
    if isinstance(algorithm, TrustRegionConfig | GuidedConfig) and point and paper:
        # The losses after one step and after two count: trained for one, the second overshoots.
        learner, algorithm = replace(learner, steps=2), replace(algorithm, step_weights=(0.5, 0.5))
    return Config(
        task, learner, algorithm, meta_batch=sizes.meta_batch, iterations=iterations, chunk=CHUNK,
        validation_tasks=sizes.validation_tasks,
    )  # fmt: skip
