"""Environments of meta-reinforcement learning, which can also be used with Gymnasium and Stable-Baselines3 alone.

The import of this package registers all environments (see `ids`) in Gymnasium: `gymnasium.make(id)` returns a
`TaskEnv`, and `gymnasium.make_vec(id, num_envs=n)` a `TaskVectorEnv`. Both wrap a `World`, which `make_world(id, n)`
returns. Ids that contain "-MAML2017" have the physics of the MAML paper, the other robots those of Gymnasium's v5
environments. Returns with the two kinds of physics cannot be compared.
"""

import difflib

import gymnasium

import metarl.envs.imports  # noqa: F401  (must be the first import of MuJoCo)
from metarl.envs import ant, bandit, cartpole, half_cheetah, hopper, humanoid, pendulum, point, tabular
from metarl.envs.single import TaskEnv
from metarl.envs.vector import TaskVectorEnv
from metarl.envs.world import Step, World, build, check_world
from metarl.ranges import Count, Whole, check, checked

WORLDS: dict[str, type[World]] = {  # the classes of environments by id
    "metarl/HalfCheetahVel-v0": half_cheetah.HalfCheetahVel,
    "metarl/HalfCheetahDir-v0": half_cheetah.HalfCheetahDir,
    "metarl/AntVel-v0": ant.AntVel,
    "metarl/AntDir-v0": ant.AntDir,
    "metarl/AntDir2D-v0": ant.AntDir2D,
    "metarl/AntGoal-v0": ant.AntGoal,
    "metarl/HumanoidDir2D-v0": humanoid.HumanoidDir2D,
    "metarl/HopperParams-v0": hopper.HopperParams,
    "metarl/Walker2dParams-v0": hopper.Walker2dParams,
    "metarl/HalfCheetahParams-v0": half_cheetah.HalfCheetahParams,
    "metarl/AntParams-v0": ant.AntParams,
    "metarl/PointNav-v0": point.PointNav,
    "metarl/CartPoleParams-v0": cartpole.CartPoleParams,
    "metarl/PendulumParams-v0": pendulum.PendulumParams,
    "metarl/Bandit5-v0": bandit.Bandit5,
    "metarl/Bandit10-v0": bandit.Bandit10,
    "metarl/Bandit50-v0": bandit.Bandit50,
    "metarl/TabularMDP-v0": tabular.TabularMDP,
    "metarl/HalfCheetahVel-MAML2017-v0": half_cheetah.HalfCheetahVel2017,
    "metarl/HalfCheetahDir-MAML2017-v0": half_cheetah.HalfCheetahDir2017,
    "metarl/AntVel-MAML2017-v0": ant.AntVel2017,
    "metarl/AntDir-MAML2017-v0": ant.AntDir2017,
    "metarl/AntGoal-MAML2017-v0": ant.AntGoal2017,
    "metarl/PointNav-MAML2017-v0": point.PointNav2017,
}


@checked
def register(id: str, world: type[World]) -> None:
    """Register a World class under an id, for `gymnasium.make`, `gymnasium.make_vec`, `make_world` and `ids`.

    Raises ValueError for a class that is not a World or is incomplete, and for an id that does not have the form
    "me/MyTask-v0".
    """
    check_world(world)
    check(Count, world.default_horizon, f"default_horizon of {world.__name__}")
    try:
        gymnasium.register(
            id,
            entry_point="metarl.envs.single:TaskEnv",
            vector_entry_point="metarl.envs.vector:TaskVectorEnv",
            max_episode_steps=world.default_horizon,
            kwargs={"world": world},
        )
    except gymnasium.error.Error as error:
        raise ValueError(f"id is {id!r}: give one such as 'me/MyTask-v0' ({error})") from None
    WORLDS[id] = world


def ids() -> list[str]:
    """All environment ids, in the order of registration."""
    return list(WORLDS)


@checked
def world_class(id: str) -> type[World]:
    """The World class with this id. Raises ValueError, with similar ids, for an unknown id."""
    if id not in WORLDS:
        near = difflib.get_close_matches(id, WORLDS, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise ValueError(f"unknown environment {id!r}: {hint}`metarl list` shows all")
    return WORLDS[id]


@checked
def make_world(id: str, num_envs: Count, *, threads: Whole = 0) -> World:
    """A World with num_envs copies of the environment `id`. Raises ValueError for an unknown id."""
    return build(world_class(id), num_envs, threads=threads)


for _id, _world in WORLDS.items():
    register(_id, _world)

__all__ = ["WORLDS", "Step", "TaskEnv", "TaskVectorEnv", "World", "ids", "make_world", "register", "world_class"]
