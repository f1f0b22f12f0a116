"""Half-cheetah goal velocity in Gymnasium's physics, horizon 100."""

from metarl.experiments.recipes.recipe import Recipe

RECIPE = Recipe("half-cheetah-vel", env_steps=8_000_000)
