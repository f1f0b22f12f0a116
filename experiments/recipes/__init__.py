"""Recipes, one for each published result: `metarl reproduce TASK` runs one."""
