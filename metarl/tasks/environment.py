"""Environments as distributions of tasks, such as "metarl/HalfCheetahVel-v0" or your own "my_module:me/MyTask-v0"."""

from metarl.rl.rollout import WorldDistribution as Environment

__all__ = ["Environment"]
