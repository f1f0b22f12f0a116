"""Ant forward or backward in the MAML paper's physics (Figure 5), 20 trajectories.

Test tasks are training tasks: there are two.

Published returns: the files that the paper's authors released, one checkpoint each, 160 million environment steps.
"""

from metarl.experiments.recipes.recipe import Recipe

RECIPE = Recipe(
    "ant-dir-2017",
    env_steps=80_000_000,
    published={
        "MAML (paper)": (12.9, 434.4, 425.6, 411.8),
        "pretrained (paper)": (3.2, 1.3, 6.5, 6.9),
        "random (paper)": (3.1, 9.3, 16.0, 26.1),
        "oracle (paper)": (524.8,),
    },
)
