"""Presets of environments.

Presets in the MAML paper's physics (Finn et al. 2017, section 5.3) have two hidden layers of 100 units, a standard
deviation of 1 (half of the action range), a horizon of 200, α = 0.1 in the first inner step and 0.05 in later ones, and
tests with 20 trajectories per task. The paper trains ReLU policies without normalising observations, with λ = 1, for
500 iterations of 40 tasks × 20 trajectories, within a KL divergence of 0.01. The presets have smaller meta-batches, a
larger KL divergence, tanh, normalised observations and a smaller λ, and reach the paper's returns with a fraction of
its environment steps (docs/reproductions/what_mattered.md).

Presets in Gymnasium's physics, in which an action takes five times as long, have 64 units and a horizon of 100, as in
later work (ProMP, garage, learn2learn). Actions are scaled by 0.1 in that work. Here, 0.3 was better after one gradient
step, and with 1 policies did not learn.
"""

from __future__ import annotations

from typing import Any

from metarl.experiments.presets.table import Preset, Task, made

Changes = dict[str, Any]
CONFIG = "metarl.experiments.config"
LR = (0.1, 0.05)
BASE = Preset(
    task=made(
        f"{CONFIG}.environment:EnvironmentSettings", train_trajectories=10, gae_lambda=0.97, activation="tanh",
        normalise=True,
    ),
    learner=made("GradientLearner", lr=LR),
    algorithm=made("TRPO", max_kl=0.1, curvature_every=(6, 15)),
    run={"meta_batch": 20, "iterations": 500, "chunk": 4, "validation_tasks": 20},  # tensors of 4 tasks fit in caches
)  # fmt: skip
GYMNASIUM: Changes = {"task.horizon": 100, "task.hidden": (64, 64), "task.action_scale": 0.3}

ANT_DIR: Changes = {
    "task.train_trajectories": 20, "task.gae_lambda": 0.95, "task.gae_schedule": (0.9, 0.5, 0.05),
    "task.inner_gae": (0.9, 0.5), "meta_batch": 10, "iterations": 1000,
}  # fmt: skip
POINT: Changes = {
    "task.train_trajectories": None, "task.normalise": False, "iterations": 100, "validation_tasks": 200,
}  # fmt: skip
PEARL: Changes = {"task.horizon": 200}  # as in the PEARL suite (Rakelly et al. 2019)
CLASSIC_CONTROL: Changes = {"task.horizon": 200, "iterations": 100}
BANDIT: Changes = {  # tiny: tensors of all tasks fit in caches
    "task.horizon": None, "task.hidden": (32,), "task.normalise": False, "iterations": 100, "chunk": None,
}  # fmt: skip
TABULAR: Changes = {**BANDIT, "task.train_trajectories": 20, "meta_batch": 100}
META_WORLD = {  # task: (benchmark, what it is)
    "meta-world-reach": ("ML1-reach-v3", "reach a hidden place"),
    "meta-world-push": ("ML1-push-v3", "push to a hidden place"),
    "meta-world-ml10": ("ML10", "ten kinds of tasks, and five others in tests"),
    "meta-world-ml45": ("ML45", "45 kinds of tasks, and five others in tests"),
}


def arm(benchmark: str) -> Changes:
    """The settings of a benchmark of Meta-World: 10 episodes a task in tests, too, and 15 million steps in all."""
    env = f"metarl.envs.meta_world:metarl/{benchmark}"
    return {
        "task.env": f"{env}-train", "task.test_env": f"{env}-test", "task.info_max": ("success",),
        "task.trajectories": 10, "task.horizon": 500, "task.action_scale": 1.0, "iterations": 75, "test_tasks": 50,
    }  # fmt: skip


SIZES: dict[str, Changes] = {  # settings of environments that differ from those above
    "AntDir": ANT_DIR,
    "AntDir-MAML2017": ANT_DIR,
    "AntVel-MAML2017": {"task.gae_schedule": (0.95, 0.8, 0.25), "meta_batch": 10, "iterations": 800},
    "PointNav": {**POINT, "task.gae_lambda": 1.0, "task.action_scale": 1.0, "algorithm.max_kl": 0.01},
    "PointNav-MAML2017": {**POINT, "task.gae_lambda": 0.8},
    "HumanoidDir2D": PEARL,
    "HopperParams": PEARL,
    "Walker2dParams": PEARL,
    "HalfCheetahParams": PEARL,
    "AntParams": PEARL,
    "PendulumParams": {**CLASSIC_CONTROL, "task.action_scale": 1.0},
    "CartPoleParams": CLASSIC_CONTROL,
    "Bandit5": BANDIT,
    "Bandit10": BANDIT,
    "Bandit50": BANDIT,
    "TabularMDP": TABULAR,
    **{benchmark: arm(benchmark) for benchmark, _ in META_WORLD.values()},
    "": {"task.env": "", "task.horizon": None, "task.action_scale": 1.0},  # any environment that --task.env names
}
INNER_LR = {"Bandit5": 1.0, "Bandit10": 1.0, "Bandit50": 1.0, "TabularMDP": 20.0}  # where the usual one is too small
# The losses after both inner steps are minimised. If only the first one is trained, the second one overshoots.
TWO_STEPS: Changes = {"learner.steps": 2, "algorithm.step_weights": (0.5, 0.5)}

# The paper's baselines: a policy without adaptation, and one that observes the task. PPO has 256 sub-environments.
PPO: Changes = {
    "algorithm": made(f"{CONFIG}.ppo:PPOSettings"), "learner.steps": 0, "task.gae_schedule": None,
    "task.inner_gae": None, "meta_batch": 256, "validation_tasks": 40,
}  # fmt: skip
METHODS: dict[str, Changes] = {
    "maml": {},
    "fomaml": {"learner.first_order": True},
    "meta-sgd": {"learner.lr": (0.1,), "learner.learn_lr": True},
    "anil": {"learner.adapt": "head"},
    "gmps": {  # there is no GAE schedule, because imitation does not use the advantages of queries
        "algorithm": made(f"{CONFIG}.guided:GuidedSettings"), "task.gae_schedule": None, "iterations": 100,
    },
    "promp": {"algorithm": made("ProMP", lr=1e-3), "iterations": 1001},
    "reptile": {"learner.steps": 3, "algorithm": made("Reptile", lr=1.0, lr_end=0.1)},
    "pretrained": PPO,
    "oracle": {**PPO, "task.observe_goal": True, "test_steps": 0},  # it needs no adaptation
}  # fmt: skip
TRUST_REGION = ("maml", "fomaml", "meta-sgd", "anil")
PPO_STEPS = {"pretrained": (3_000_000, 1_000_000), "oracle": (10_240_000, 3_072_000)}  # env steps; for point-nav


def preset(world: str | None, method: str) -> Preset:
    """The preset of a method in an environment such as "AntDir-MAML2017"; None is any environment of --task.env."""
    name = world or ""
    paper, point = name.endswith("-MAML2017"), name.startswith("PointNav")
    base = BASE if world is None else BASE.but({"task.env": f"metarl/{world}-v0"})
    made = base.but({} if paper else GYMNASIUM).but(SIZES.get(name, {})).but(METHODS[method])
    if paper and point and method in (*TRUST_REGION, "gmps"):
        made = made.but(TWO_STEPS)
    if name in INNER_LR:
        made = made.but({"learner.lr": (INNER_LR[name],)})
    if method in PPO_STEPS:
        horizon = made.task.settings.get("horizon") or (100 if point else 200)
        made = made.but({"iterations": round(PPO_STEPS[method][point] / (256 * horizon))})
    return made


MUJOCO = {  # task: (environment, description, whether it is in the MAML paper)
    "half-cheetah-vel": ("HalfCheetahVel", "run at the goal velocity", True),
    "half-cheetah-dir": ("HalfCheetahDir", "run forwards or backwards", True),
    "ant-vel": ("AntVel", "run at the goal velocity", True),
    "ant-dir": ("AntDir", "run forwards or backwards", True),
    "ant-dir-2d": ("AntDir2D", "run in the goal direction", False),
    "ant-goal": ("AntGoal", "run to the goal", True),
    "point-nav": ("PointNav", "move to the goal", True),
    "humanoid-dir-2d": ("HumanoidDir2D", "walk in the goal direction", False),
    "hopper-params": ("HopperParams", "run, with random dynamics", False),
    "walker2d-params": ("Walker2dParams", "run, with random dynamics", False),
    "half-cheetah-params": ("HalfCheetahParams", "run, with random dynamics", False),
    "ant-params": ("AntParams", "run, with random dynamics", False),
}
CLASSIC = {
    "pendulum-params": ("PendulumParams", "swing up a rod of any size"),
    "cartpole-params": ("CartPoleParams", "balance a pole of unknown size"),
    "bandit-5": ("Bandit5", "explore, then exploit"),
    "bandit-10": ("Bandit10", "explore, then exploit"),
    "bandit-50": ("Bandit50", "explore, then exploit"),
    "tabular-mdp": ("TabularMDP", "explore, then exploit"),
}
WITHOUT_PPO = ("maml", "fomaml", "meta-sgd", "anil", "promp", "reptile")  # PPO trains Gaussian policies
ANY = Task(
    "environment", "your own, by --task.env ID",
    {method: preset(None, method) for method in METHODS},
)  # fmt: skip


def _tasks() -> list[Task]:
    tasks = []
    for name, (world, about, published) in MUJOCO.items():
        tasks.append(Task(name, about, {method: preset(world, method) for method in METHODS}))
        if published:
            older = {method: preset(f"{world}-MAML2017", method) for method in METHODS}
            tasks.append(Task(f"{name}-2017", about, older))
    for name, (world, about) in CLASSIC.items():
        methods = METHODS if world == "PendulumParams" else WITHOUT_PPO
        tasks.append(Task(name, about, {method: preset(world, method) for method in methods}))
    for name, (benchmark, about) in META_WORLD.items():
        tasks.append(Task(name, about, {method: preset(benchmark, method) for method in WITHOUT_PPO}))
    return [*tasks, ANY]


TASKS = _tasks()
