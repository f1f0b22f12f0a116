"""Environments as tasks: `Environment("metarl/HalfCheetahVel-v0", trajectories=10)`."""

from metarl.rl.rollout import WorldDistribution as Environment

__all__ = ["Environment"]
