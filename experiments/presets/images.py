"""Presets of few-shot classification of images.

Networks are those of the MAML paper (Finn et al. 2017, section 5.2): Conv4 has 64 filters on Omniglot and 32 on
miniImageNet. Its training of 60,000 iterations of 4 to 32 tasks would take days on 2 cores. Presets are therefore of a
size that takes about half an hour of one core on Omniglot, and an hour on miniImageNet. Most methods start from an
encoder that is pre-trained on all training classes at once (`task.pretraining`), and those in `FROM_RANDOM` start from
random weights on Omniglot. The outer loop is Adam with a learning rate that decreases to 0.
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
DATA_SETS: dict[str, Changes] = {  # each with a warm start
    "omniglot": {
        "task.pretraining": 3_000, "task.train_queries": 5, "learner.steps": 3, "learner.lr": (0.1,),
        "log_every": 500, "checkpoint_every": 500,
    },
    "omniglot-small": {  # mirrored classes and tasks within one alphabet, as there are few characters
        "task.shift": 2, "task.warp": 0.1, "task.train_queries": 5, "task.mirror": True, "task.same_alphabet": 1.0,
        "task.pretraining": 3_000, "learner.steps": 3, "learner.lr": (0.1,), "meta_batch": 8, "iterations": 500,
        "log_every": 50, "checkpoint_every": 100,
    },
    "miniimagenet": {
        "task.pretraining": 1_000, "task.filters": 32, "task.train_queries": 5, "learner.steps": 5,
        "learner.lr": (0.01,), "iterations": 1_500, "chunk": 1, "log_every": 500, "checkpoint_every": 250,
        "test_steps": 5, "validation_tasks": 50,
    },
}  # fmt: skip
SIZES: dict[tuple[str, int, int], Changes] = {  # what 2 cores train in less than an hour, by data set, ways and shots
    ("omniglot", 5, 1): {"meta_batch": 8, "iterations": 6_000},
    ("omniglot", 5, 5): {"meta_batch": 4, "iterations": 4_000},
    ("omniglot", 20, 1): {"meta_batch": 4, "iterations": 4_000},
    ("omniglot", 20, 5): {"meta_batch": 2, "iterations": 2_000},
    ("omniglot-small", 20, 1): {"test_steps": 5},
    ("omniglot-small", 20, 5): {"test_steps": 5},
    ("miniimagenet", 5, 1): {"meta_batch": 4},
    ("miniimagenet", 5, 5): {"meta_batch": 2},
    ("miniimagenet", 20, 1): {"meta_batch": 1},
    ("miniimagenet", 20, 5): {"meta_batch": 1},
}


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
    "auto-meta": {**learned_by(f"{CONFIG}.auto_meta:cell_learner"), "algorithm.lr": 0.003},
    "cavia": learned_by(f"{CONFIG}.builders:image_cavia"),
    "imaml": learned_by("IMAML", steps=16, lr=(0.1,)),
    "meta-lstm": learned_by("MetaLSTM", steps=5, lr=0.1, adapt="head"),
    "learned-optimizer": learned_by("LearnedOptimizer", steps=5, scale=0.1, adapt="head"),
    "reptile": {
        **learned_by("metarl.learners.adam:Adam", steps=5, lr=1e-3), "algorithm": made("Reptile", lr=1.0, lr_end=0.0),
        "task.train_shots": 10, "task.train_queries": 1, "meta_batch": 5, "test_steps": 10,
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
WITHOUT_CONVOLUTIONS: dict[str, Changes] = {  # fully connected nets, which the papers report on Omniglot
    f"no-conv-{method}": {**METHODS[method], "task.architecture": "mlp"} for method in ("maml", "mann")
}
PROTONET_WAYS = {"omniglot": 60, "omniglot-small": 20, "miniimagenet": 20}  # in training (Snell et al. 2017)

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
    "auto-meta": {"task.pretraining": 0, "iterations": 3_000},  # Conv4's weights do not fit its net
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
FROM_RANDOM: dict[str, Changes] = {  # methods that start from random weights on Omniglot, as in their papers
    **{
        method: {}
        for method in ("protonet", "matching", "siamese", "neural-statistician", "imp", "r2d2", "auto-meta")
    },
    **{method: {"algorithm.lr": 0.002} for method in ("memory-module", "snail", "mann", "cnp")},
    "relation": {"task.train_queries": 2},  # each query is compared with each class by a net
    "gnn": {"task.train_queries": 1},  # each query has a graph of its own
    "lstm": {"algorithm.lr": 0.003},
    "reptile": {"task.train_shots": 5, "test_steps": 50},
    "no-conv-maml": {"learner.steps": 1, "learner.lr": (0.4,)},
    "no-conv-mann": {},
}  # fmt: skip
SLOW = ("reptile", "maml-plus-plus", "gnn", "imaml", "auto-meta")  # with half as many iterations as other methods


def preset(data: str, ways: int, shots: int, method: str) -> Preset:
    """The preset of a method on N-way K-shot tasks of a data set."""
    sizes = {"task.images": data, "task.ways": ways, "task.shots": shots}
    made = BASE.but(sizes).but(DATA_SETS[data]).but(SIZES.get((data, ways, shots), {}))
    made = made.but((METHODS | WITHOUT_CONVOLUTIONS)[method])
    if method == "protonet":
        made = made.but({"task.train_ways": PROTONET_WAYS[data]})
    if data == "omniglot" and method in FROM_RANDOM:
        made = made.but({"task.pretraining": 0, "iterations": 2 * made.run["iterations"]}).but(FROM_RANDOM[method])
    else:
        made = made.but(WARM_STARTED.get(method, QUICK))
    if data != "omniglot-small" and method in SLOW:
        made = made.but({"iterations": made.run["iterations"] // 2})
    steps = max(made.run["test_steps"], made.learner.settings.get("steps", 0))  # no fewer than in training
    return made.but({"test_steps": steps})


TASKS = [
    Task(
        f"{data}-{ways}way-{shots}shot", "tell N new classes apart, from K images of each",
        {method: preset(data, ways, shots, method) for method in (*METHODS, *WITHOUT_CONVOLUTIONS)},
    )
    for data in DATA_SETS
    for ways, shots in ((5, 1), (5, 5), (20, 1), (20, 5))
]  # fmt: skip
