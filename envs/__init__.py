"""Environments of meta-reinforcement learning, usable alone with Gymnasium and Stable-Baselines3."""

import difflib

from metarl.envs import half_cheetah
from metarl.envs.world import Step, World

WORLDS: dict[str, type[World]] = {
    "metarl/HalfCheetahVel-v0": half_cheetah.HalfCheetahVel,
    "metarl/HalfCheetahDir-v0": half_cheetah.HalfCheetahDir,
    "metarl/HalfCheetahVel-MAML2017-v0": half_cheetah.HalfCheetahVel2017,
    "metarl/HalfCheetahDir-MAML2017-v0": half_cheetah.HalfCheetahDir2017,
}


def make_world(id: str, num_envs: int, *, threads: int = 0) -> World:
    """num_envs copies of the environment id, stepped together; see `World`."""
    if id not in WORLDS:
        near = difflib.get_close_matches(id, WORLDS, n=3, cutoff=0.3)
        raise ValueError(f"unknown environment {id!r}; did you mean {' or '.join(near)}? `metarl list` shows all")
    return WORLDS[id](num_envs, threads=threads)


__all__ = ["WORLDS", "Step", "World", "make_world"]
