"""Half-cheetah forward or backward in Gymnasium's physics, horizon 100.

Test tasks are training tasks: there are two."""

from metarl.experiments.recipes.recipe import Recipe

RECIPE = Recipe("half-cheetah-dir", env_steps=8_000_000)
