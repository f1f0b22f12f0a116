"""Presets of sinusoid regression (Finn et al. 2017, section 5.1): 25 tasks, α 0.01, Adam 1e-3.

The paper trains one inner step for 70,000 iterations; here some seeds then overshoot at steps 3 to 10, which it tests.
Two steps, the loss after each counting (0.7 and 0.3), and an outer step size that falls to 0 keep every seed stable in
40,000. Tensors this small are fastest on one thread.
"""

from __future__ import annotations

from typing import Any

from metarl.experiments.presets.table import Preset, Task, made

CONFIG = "metarl.experiments.config"
EVERY_STEP = made("Descent", lr=1e-3, lr_end=0.0, step_weights=(0.7, 0.3))
LAST_STEP = made("Descent", lr=1e-3, lr_end=0.0)  # only the loss after the last inner step counts
BASE = Preset(
    task=made(f"{CONFIG}.sinusoid:SinusoidSettings"),
    learner=made("GradientLearner", steps=2, lr=(0.01,)),
    algorithm=EVERY_STEP,
    run={
        "meta_batch": 25, "iterations": 40_000, "log_every": 500, "checkpoint_every": 2_000, "test_steps": 10,
        "test_tasks": 600, "validation_tasks": 600, "torch_threads": 1,
    },
)  # fmt: skip
METHODS: dict[str, dict[str, Any]] = {
    "maml": {},
    "fomaml": {"learner.first_order": True},
    "meta-sgd": {
        "learner": made("GradientLearner", steps=1, lr=(0.01,), learn_lr=True), "algorithm": LAST_STEP, "test_steps": 1,
    },
    "pretrained": {"learner.steps": 0, "algorithm": LAST_STEP},  # no adaptation in training
    "reptile": {
        "task.train_shots": 10, "learner.steps": 10, "algorithm": made("Reptile", lr=1.0, lr_end=0.0),
        "iterations": 30_000,  # of ten inner steps each
    },
    "cavia": {"learner": made(f"{CONFIG}.builders:sinusoid_cavia", steps=1, lr=1.0), "algorithm": LAST_STEP},
    # λ is 2 in the paper's code, for images. Sinusoids, whose losses are large, overfit their support with it, and with
    # MAML's α of 0.01 the descent diverges after some 1,000 iterations: it is cautious.
    "imaml": {
        "learner": made("IMAML", steps=12, lr=(0.02,), strength=20.0, cautious=True), "algorithm": LAST_STEP,
        "iterations": 10_000,
    },
    "learned-optimizer": {  # every coordinate has an LSTM: costly
        "learner": made("LearnedOptimizer", steps=5, scale=0.1),
        "algorithm": made("Descent", lr=1e-3, lr_end=0.0, step_weights=(1.0,) * 5),
        "meta_batch": 5, "iterations": 5_000,
    },
    "alpaca": {"learner": made(f"{CONFIG}.builders:alpaca"), "algorithm": LAST_STEP},
    "cnp": {"learner": made(f"{CONFIG}.builders:cnp"), "algorithm": LAST_STEP},
    "lstm": {"learner": made(f"{CONFIG}.builders:sinusoid_lstm"), "algorithm": LAST_STEP, "iterations": 10_000},
}  # fmt: skip



def preset(shots: int, method: str) -> Preset:
    """The preset of so many points of each task, and method."""
    return BASE.but({"task.shots": shots}).but(METHODS[method])


TASKS = [
    Task(name, "a sine wave, from K points", {method: preset(shots, method) for method in METHODS})
    for name, shots in {"sinusoid": 5, "sinusoid-10shot": 10}.items()
]
