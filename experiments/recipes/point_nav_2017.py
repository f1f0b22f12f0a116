"""2-D navigation as in the MAML paper (section 5.3, Figure 4).

Published returns: the files that the paper's authors released, one checkpoint each, 160 million environment steps.
"""

from metarl.experiments.recipes.recipe import Recipe

RECIPE = Recipe(
    "point-nav-2017",
    env_steps=10_000_000,
    published={
        "MAML (paper)": (-40.4, -11.7, -3.3, -3.2),
        "random (paper)": (-82.7, -58.0, -53.8, -46.8),
        "oracle (paper)": (-2.3,),
    },
)
