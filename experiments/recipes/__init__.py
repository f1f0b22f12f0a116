"""Recipes, one for each published result: `metarl reproduce TASK` runs one."""

from metarl.experiments.recipes import (
    ant_dir,
    ant_dir_2017,
    ant_vel_2017,
    half_cheetah_dir,
    half_cheetah_dir_2017,
    half_cheetah_vel,
    half_cheetah_vel_2017,
    omniglot_small,
    point_nav_2017,
    sinusoid,
)

LOCOMOTION = [
    module.RECIPE
    for module in (
        point_nav_2017,
        half_cheetah_vel_2017,
        half_cheetah_dir_2017,
        ant_vel_2017,
        ant_dir_2017,
        half_cheetah_vel,
        half_cheetah_dir,
        ant_dir,
    )
]
SUPERVISED = [sinusoid.FIVE, sinusoid.TEN, omniglot_small.ONE_SHOT, omniglot_small.FIVE_SHOT]
RECIPES = {recipe.task: recipe for recipe in (*LOCOMOTION, *SUPERVISED)}
