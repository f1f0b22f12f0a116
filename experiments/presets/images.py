"""Presets of few-shot classification of images.

Networks and inner loops are those of the MAML paper (Finn et al. 2017, section 5.2 and appendix A.1). On Omniglot,
Conv4 has 64 filters; 5-way tasks have one inner step with α = 0.4 in training and three in tests, and 20-way tasks five
with α = 0.1. On miniImageNet, Conv4 has 32 filters, and there are five inner steps with α = 0.01 in training and ten in
tests. The outer loop is Adam with a learning rate that decreases from 1e-3 to 0.
"""

from __future__ import annotations

from typing import Any

from metarl.experiments.presets.table import Preset, Task, made

Changes = dict[str, Any]
CONFIG = "metarl.experiments.config"
BASE = Preset(
    task=made(f"{CONFIG}.images:ImagesSettings"),
    learner=made("GradientLearner", steps=1, lr=(0.4,)),
    algorithm=made("Descent", lr=1e-3, lr_end=0.0),
    run={
        "meta_batch": 16, "iterations": 60_000, "chunk": 4, "log_every": 100, "checkpoint_every": 1000,
        "test_steps": 3, "test_tasks": 600, "validation_tasks": 200,
    },
)  # fmt: skip
JOINT = Preset(  # the pre-training of an encoder on all classes at once
    task=BASE.task,
    learner=made("FineTune"),
    algorithm=made("Descent", lr=0.003, lr_end=0.0),
    run={"chunk": 1, "log_every": 10, "checkpoint_every": 100, "keep": 1},
)
TWENTY_WAY: Changes = {"learner.steps": 5, "learner.lr": (0.1,), "meta_batch": 8, "test_steps": 5}
DATA_SETS: dict[str, Changes] = {
    "omniglot": {},
    "omniglot-small": {  # mirrored classes, tasks within one alphabet and a warm start, as there are few characters
        "task.shift": 2, "task.warp": 0.1, "task.train_queries": 5, "task.mirror": True, "task.same_alphabet": 1.0,
        "task.pretraining": 3_000, "learner.steps": 3, "learner.lr": (0.1,), "meta_batch": 8, "iterations": 500,
        "log_every": 50, "checkpoint_every": 100,
    },
    "miniimagenet": {"task.filters": 32, "learner.steps": 5, "learner.lr": (0.01,), "test_steps": 10},
}  # fmt: skip


def learned_by(kind: str, **settings: Any) -> Changes:
    """The changes to a preset that replace its learner."""
    return {"learner": made(kind, **settings)}


METHODS: dict[str, Changes] = {
    "maml": {},
    "fomaml": {"learner.first_order": True},
    "meta-sgd": {"learner.learn_lr": True},
    "anil": {"learner.adapt": "head"},
    "maml-plus-plus": {**learned_by("MAMLPlusPlus", steps=5, lr=0.1), "algorithm": made("MultiStep")},
    "alpha-maml": {**learned_by("AlphaLearner", steps=1, lr=0.4), "algorithm": made("AlphaMAML")},
    "bayesian-maml": {
        **learned_by(f"{CONFIG}.builders:headed", steps=1, lr=(0.4,)),
        "algorithm": made(f"{CONFIG}.builders:empirical_bayes", lr=1e-3, lr_end=0.0),
    },
    "deml": {
        **learned_by(f"{CONFIG}.builders:concept_learner", steps=5, lr=0.1),
        "algorithm": made(f"{CONFIG}.deml:DEMLSettings"),
    },
    "cavia": learned_by(f"{CONFIG}.builders:image_cavia"),
    "imaml": learned_by("IMAML", steps=16, lr=(0.1,)),
    "meta-lstm": learned_by("MetaLSTM", steps=5, lr=0.1, adapt="head"),
    "learned-optimizer": learned_by("LearnedOptimizer", steps=5, scale=0.1, adapt="head"),
    "reptile": {
        **learned_by("metarl.learners.adam:Adam", steps=5, lr=1e-3), "algorithm": made("Reptile", lr=1.0, lr_end=0.0),
        "task.train_shots": 10, "meta_batch": 5, "test_steps": 10,
    },
    "protonet": {**learned_by("ProtoNet"), "task.train_queries": 5, "meta_batch": 1},
    "matching": learned_by(f"{CONFIG}.builders:matching"),
    "siamese": learned_by("SiameseNet"),
    "neural-statistician": {
        **learned_by(f"{CONFIG}.builders:neural_statistician"),
        "algorithm": made("VariationalDescent", lr=1e-3, lr_end=0.0), "task.train_queries": 5,
    },
    "relation": learned_by(f"{CONFIG}.builders:relation"),
    "imp": learned_by("IMP"),
    "gnn": learned_by("GNN"),
    "r2d2": learned_by("R2D2"),
    "lrd2": learned_by("LRD2"),
    "metaoptnet": learned_by("MetaOptNet"),
    "lstm": learned_by(f"{CONFIG}.builders:image_lstm"),
    "mann": learned_by(f"{CONFIG}.builders:mann"),
    "memory-module": learned_by("MemoryModule"),
    "snail": learned_by("SNAIL"),
    "meta-networks": learned_by("MetaNet"),
    "cnp": learned_by("CNPClassifier"),
    "finetune": {**learned_by("FineTune"), "task.joint": True},
    "nearest-neighbour": {
        **learned_by(f"{CONFIG}.builders:nearest_pixels"), "algorithm": made("Fixed"), "iterations": 1,
    },
}  # fmt: skip
PROTONET_WAYS = {"omniglot": 60, "omniglot-small": 20, "miniimagenet": 30}  # in training (Snell et al. 2017)

# Learning rates for methods that start from pre-trained weights, which larger learning rates would destroy.
GENTLE: Changes = {"algorithm.lr": 1e-4}
QUICK: Changes = {"algorithm.lr": 0.002}
FROZEN_HEAD: Changes = {"algorithm.freeze": "net.head"}
LIKE_MAML: Changes = {"learner.steps": 3, **GENTLE, **FROZEN_HEAD}
WARM_STARTED: dict[str, Changes] = {  # QUICK is used for the other methods
    "maml": {**GENTLE, **FROZEN_HEAD},
    "fomaml": {**GENTLE, **FROZEN_HEAD},
    "meta-sgd": {**GENTLE, **FROZEN_HEAD},
    "anil": {**GENTLE, **FROZEN_HEAD},
    "maml-plus-plus": LIKE_MAML,
    "alpha-maml": {"learner.steps": 3, "learner.lr": 0.1},
    "bayesian-maml": {"learner.lr": (0.1,), **LIKE_MAML},
    "deml": GENTLE,
    "imaml": {"learner.steps": 8, **GENTLE, **FROZEN_HEAD},  # half as many steps as in the paper, which is faster
    "meta-lstm": {**QUICK, **FROZEN_HEAD},
    "learned-optimizer": {**QUICK, **FROZEN_HEAD},
    "reptile": {"algorithm.lr": 0.1, **FROZEN_HEAD},  # 1, as in the paper, would destroy the pre-trained weights
    "protonet": {"meta_batch": 2, **QUICK},
    "siamese": GENTLE,
    "lstm": {"algorithm.lr": 0.003, "iterations": 1_500},  # at chance for its first 400 iterations
    "neural-statistician": {"task.pretraining": 0, "iterations": 1_500},  # its encoder learns from the bound alone
    "metaoptnet": GENTLE,
    "nearest-neighbour": {"task.pretraining": 0},
}


def preset(data: str, ways: int, shots: int, method: str) -> Preset:
    """The preset of a method on N-way K-shot tasks of a data set."""
    sizes = {"task.images": data, "task.ways": ways, "task.shots": shots}
    made = BASE.but(sizes).but(TWENTY_WAY if ways == 20 else {}).but(DATA_SETS[data]).but(METHODS[method])
    if method == "protonet":
        made = made.but({"task.train_ways": PROTONET_WAYS[data]})
    if data == "omniglot-small":
        made = made.but(WARM_STARTED.get(method, QUICK))
    steps = max(made.run["test_steps"], made.learner.settings.get("steps", 0))  # no fewer than in training
    return made.but({"test_steps": steps})


TASKS = [
    Task(
        f"{data}-{ways}way-{shots}shot", "tell N new classes apart, from K images of each",
        {method: preset(data, ways, shots, method) for method in METHODS},
    )
    for data in DATA_SETS
    for ways, shots in ((5, 1), (5, 5), (20, 1), (20, 5))
]  # fmt: skip
