"""Recipes, one for each published result: `metarl reproduce TASK` runs one."""

from metarl.experiments.recipes import (
    ant_dir,
    ant_dir_2017,
    ant_vel_2017,
    half_cheetah_dir,
    half_cheetah_dir_2017,
    half_cheetah_vel,
    half_cheetah_vel_2017,
    point_nav_2017,
)

RECIPES = {
    module.RECIPE.task: module.RECIPE
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
}
