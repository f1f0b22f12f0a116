"""Half-cheetah forward or backward in the MAML paper's physics (Figure 5).

Test tasks are training tasks: there are two.

Published returns: the files that the paper's authors released, one checkpoint each, 160 million environment steps.
"""

from metarl.experiments.recipes.recipe import Recipe

RECIPE = Recipe(
    "half-cheetah-dir-2017",
    env_steps=8_000_000,
    published={
        "MAML (paper)": (-50.7, 293.2, 313.5, 315.7),
        "pretrained (paper)": (-43.0, -24.8, -12.9, 19.6),
        "random (paper)": (-35.7, 21.8, 62.3, 86.2),
        "oracle (paper)": (442.7,),
    },
)
