"""Environments as tasks: `Environment("metarl/HalfCheetahVel-v0")`, or of your own, "my_module:me/MyTask-v0"."""

from metarl.rl.rollout import WorldDistribution as Environment

__all__ = ["Environment"]
