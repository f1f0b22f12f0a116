"""Recipes that reproduce published results, which `metarl reproduce TASK` runs."""
