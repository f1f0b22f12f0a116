"""The table of recipes that `metarl reproduce TASK` runs.

Published returns in the MAML paper's physics are from the files that its authors released, which have one checkpoint
after 160 million environment steps each (Finn et al. 2017, figures 4 and 5). The -dir tasks have two goals, which are
used in training and in tests. Published losses of sinusoids are from the paper (section 5.1), after 1, 5 and 10
gradient steps. There are no published results for Omniglot's small background sets with held-out alphabets; they are a
task that can be learned in minutes on a laptop. The published accuracies on Omniglot and miniImageNet are in the pages
of the reproductions.
"""

from __future__ import annotations

from math import nan

from metarl.experiments.presets import images, sinusoid
from metarl.experiments.recipes.recipe import Recipe

UNKNOWN = (nan,) * 4
STRONG = (
    "maml", "maml-plus-plus", "meta-sgd", "imaml", "protonet", "r2d2", "metaoptnet", "relation", "snail",
)  # fmt: skip
OMNIGLOT = (
    "maml", "protonet", "reptile", "fomaml", "meta-sgd", "maml-plus-plus", "matching", "siamese", "relation", "imp",
    "snail", "neural-statistician", "memory-module", "mann", "cnp", "cavia", "learned-optimizer", "imaml", "gnn",
    "auto-meta",
)  # fmt: skip
NO_CONVOLUTIONS = ("no-conv-maml", "no-conv-mann")
MINIIMAGENET = (
    "maml", "protonet", "reptile", "fomaml", "meta-sgd", "matching", "r2d2", "finetune", "nearest-neighbour",
    "meta-lstm", "relation", "imp", "snail", "cavia", "imaml", "maml-plus-plus", "gnn", "auto-meta",
)  # fmt: skip

LOCOMOTION = (
    Recipe(
        "point-nav-2017",
        env_steps=10_000_000,
        published={
            "MAML (paper)": (-40.4, -11.7, -3.3, -3.2),
            "random (paper)": (-82.7, -58.0, -53.8, -46.8),
            "oracle (paper)": (-2.3,),
        },
    ),
    Recipe(
        "half-cheetah-vel-2017",
        env_steps=32_000_000,
        published={
            "MAML (paper)": (-129.5, -78.6, -66.6, -60.8),
            "pretrained (paper)": (-158.0, -135.4, -128.5, -133.6),
            "random (paper)": (-254.8, -254.3, -246.8, -230.8),
            "oracle (paper)": (-54.5,),
        },
    ),
    Recipe(
        "half-cheetah-dir-2017",
        env_steps=8_000_000,
        published={
            "MAML (paper)": (-50.7, 293.2, 313.5, 315.7),
            "pretrained (paper)": (-43.0, -24.8, -12.9, 19.6),
            "random (paper)": (-35.7, 21.8, 62.3, 86.2),
            "oracle (paper)": (442.7,),
        },
    ),
    Recipe(
        "ant-vel-2017",
        env_steps=32_000_000,
        published={
            "MAML (paper)": (30.6, 96.7, 100.1, 101.4),
            "pretrained (paper)": (-1.8, 6.1, 8.5, 9.5),
            "random (paper)": (-78.6, -62.8, -48.6, -35.6),
            "oracle (paper)": (107.9,),
        },
    ),
    Recipe(
        "ant-dir-2017",
        env_steps=80_000_000,
        published={
            "MAML (paper)": (12.9, 434.4, 425.6, 411.8),
            "pretrained (paper)": (3.2, 1.3, 6.5, 6.9),
            "random (paper)": (3.1, 9.3, 16.0, 26.1),
            "oracle (paper)": (524.8,),
        },
    ),
    # the tasks in Gymnasium's physics, with a horizon of 100; of 200 for humanoids and robots with random dynamics
    Recipe("half-cheetah-vel", env_steps=8_000_000),
    Recipe("half-cheetah-dir", env_steps=8_000_000),
    Recipe("ant-dir", env_steps=40_000_000),
    Recipe("ant-dir-2d", env_steps=8_000_000),
    Recipe("ant-goal", env_steps=8_000_000),
    Recipe("humanoid-dir-2d", env_steps=8_000_000),
    Recipe("hopper-params", env_steps=8_000_000),
    Recipe("walker2d-params", env_steps=8_000_000),
)
SUPERVISED = (
    Recipe(
        "sinusoid",
        methods=tuple(sinusoid.METHODS),
        seeds=(0,),
        published={
            "MAML (paper)": (nan, 0.67, *UNKNOWN[1:], 0.38, *UNKNOWN, 0.35),
            "pretrained (paper)": (nan, 2.41, *UNKNOWN[1:], 2.23, *UNKNOWN, 2.19),
        },
    ),
    Recipe("sinusoid-10shot", methods=tuple(sinusoid.METHODS), seeds=(0,)),
    Recipe("omniglot-small-5way-1shot", methods=tuple(images.METHODS), seeds=(0,)),
    Recipe("omniglot-small-5way-5shot", methods=(*STRONG, "nearest-neighbour"), seeds=(0, 1, 2)),
    # each method with one seed; further seeds by --seeds
    Recipe("omniglot-5way-1shot", methods=OMNIGLOT + NO_CONVOLUTIONS, seeds=(0,)),
    Recipe("omniglot-5way-5shot", methods=OMNIGLOT + NO_CONVOLUTIONS, seeds=(0,)),
    Recipe("omniglot-20way-1shot", methods=OMNIGLOT, seeds=(0,)),
    Recipe("omniglot-20way-5shot", methods=OMNIGLOT, seeds=(0,)),
    Recipe("miniimagenet-5way-1shot", methods=MINIIMAGENET, seeds=(0,)),
    Recipe("miniimagenet-5way-5shot", methods=MINIIMAGENET, seeds=(0,)),
)
RECIPES = {recipe.task: recipe for recipe in (*LOCOMOTION, *SUPERVISED)}
