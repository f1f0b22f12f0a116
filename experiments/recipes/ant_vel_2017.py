"""Ant goal velocity in the MAML paper's physics (Figure 5).

Published returns: the files that the paper's authors released, one checkpoint each, 160 million environment steps.
"""

from metarl.experiments.recipes.recipe import Recipe

RECIPE = Recipe(
    "ant-vel-2017",
    env_steps=32_000_000,
    published={
        "MAML (paper)": (30.6, 96.7, 100.1, 101.4),
        "pretrained (paper)": (-1.8, 6.1, 8.5, 9.5),
        "random (paper)": (-78.6, -62.8, -48.6, -35.6),
        "oracle (paper)": (107.9,),
    },
)
