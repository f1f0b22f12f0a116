"""Ant forward or backward in Gymnasium's physics, horizon 100.

Test tasks are training tasks: there are two."""

from metarl.experiments.recipes.recipe import Recipe

RECIPE = Recipe("ant-dir", env_steps=40_000_000)
