"""Sinusoid regression (Finn et al. 2017, section 5.1), from 5 and from 10 points.

Published losses: the paper's, after 0, 1, … 10 gradient steps; it gives them after 1, 5 and 10.
"""

from math import nan

from metarl.experiments.names import SINUSOID_METHODS
from metarl.experiments.recipes.recipe import Recipe

UNKNOWN = (nan,) * 4
FIVE = Recipe(
    "sinusoid",
    methods=SINUSOID_METHODS,
    seeds=(0,),
    published={
        "MAML (paper)": (nan, 0.67, *UNKNOWN[1:], 0.38, *UNKNOWN, 0.35),
        "pretrained (paper)": (nan, 2.41, *UNKNOWN[1:], 2.23, *UNKNOWN, 2.19),
    },
)
TEN = Recipe("sinusoid-10shot", methods=SINUSOID_METHODS, seeds=(0,))
