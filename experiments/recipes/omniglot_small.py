"""Omniglot's small background sets, alphabets held out whole: every learner, 5-way, with the same encoder.

Not a published result: the small sets are what a laptop learns from in minutes.
"""

from metarl.experiments.names import IMAGE_METHODS
from metarl.experiments.recipes.recipe import Recipe

STRONG = (
    "maml", "maml-plus-plus", "meta-sgd", "imaml", "protonet", "r2d2", "metaoptnet", "relation", "snail",
)  # fmt: skip
ONE_SHOT = Recipe("omniglot-small-5way-1shot", methods=IMAGE_METHODS, seeds=(0,))
FIVE_SHOT = Recipe("omniglot-small-5way-5shot", methods=(*STRONG, "nearest-neighbour"), seeds=(0, 1, 2))
