"""Presets of sinusoid regression.

As in the MAML paper (Finn et al. 2017, section 5.1), a meta-batch has 25 tasks, α is 0.01, and the outer loop is Adam
with a learning rate of 1e-3. The paper trains one inner step for 70,000 iterations. With that, some seeds overshoot in
the inner steps 3 to 10 of tests. The presets have two inner steps, with the weights 0.7 and 0.3 of their losses, and an
outer learning rate that decreases to 0, with which all seeds are stable after 40,000 iterations. One torch thread is
fastest for such small tensors.
"""

from __future__ import annotations

from typing import Any

from metarl.experiments.presets.table import Preset, Task, made

CONFIG = "metarl.experiments.config"
EVERY_STEP = made("Descent", lr=1e-3, lr_end=0.0, step_weights=(0.7, 0.3))
LAST_STEP = made("Descent", lr=1e-3, lr_end=0.0)  # minimises only the loss after the last inner step
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
        "iterations": 30_000,  # each with ten inner steps
    },
    "cavia": {"learner": made(f"{CONFIG}.builders:sinusoid_cavia", steps=1, lr=1.0), "algorithm": LAST_STEP},
    # λ is 2 for images in the code of the paper, but with the large losses of sinusoids the support is overfitted. With
    # MAML's α of 0.01, the inner loop diverges after about 1,000 iterations unless it is cautious.
    "imaml": {
        "learner": made("IMAML", steps=12, lr=(0.02,), strength=20.0, cautious=True), "algorithm": LAST_STEP,
        "iterations": 10_000,
    },
    "learned-optimizer": {  # fewer tasks and iterations, because an LSTM for each coordinate is slow
        "learner": made("LearnedOptimizer", steps=5, scale=0.1),
        "algorithm": made("Descent", lr=1e-3, lr_end=0.0, step_weights=(1.0,) * 5),
        "meta_batch": 5, "iterations": 5_000,
    },
    "mlp-optimizer": {
        "learner": made(f"{CONFIG}.builders:mlp_optimizer", steps=5, lr=0.01),
        "algorithm": made("Descent", lr=1e-3, lr_end=0.0, step_weights=(1.0,) * 5),
        "iterations": 10_000,
    },
    "alpaca": {"learner": made(f"{CONFIG}.builders:alpaca"), "algorithm": LAST_STEP},
    "cnp": {"learner": made(f"{CONFIG}.builders:cnp"), "algorithm": LAST_STEP},
    "lstm": {"learner": made(f"{CONFIG}.builders:sinusoid_lstm"), "algorithm": LAST_STEP, "iterations": 10_000},
}  # fmt: skip



def preset(shots: int, method: str) -> Preset:
    """The preset of a method with this number of support points per task."""
    return BASE.but({"task.shots": shots}).but(METHODS[method])


TASKS = [
    Task(name, "a sine wave, from K points", {method: preset(shots, method) for method in METHODS})
    for name, shots in {"sinusoid": 5, "sinusoid-10shot": 10}.items()
]
