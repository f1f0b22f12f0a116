"""Half-cheetah goal velocity in the MAML paper's physics (Figure 5).

Published returns: the files that the paper's authors released, one checkpoint each, 160 million environment steps.
"""

from metarl.experiments.recipes.recipe import Recipe

RECIPE = Recipe(
    "half-cheetah-vel-2017",
    env_steps=32_000_000,
    published={
        "MAML (paper)": (-129.5, -78.6, -66.6, -60.8),
        "pretrained (paper)": (-158.0, -135.4, -128.5, -133.6),
        "random (paper)": (-254.8, -254.3, -246.8, -230.8),
        "oracle (paper)": (-54.5,),
    },
)
