"""The names of all presets, TASK-METHOD, and what each task is. Nothing slow is imported, so `metarl list` is quick.

To give a task a method's preset, add the method's name here and its settings in presets.py (or locomotion.py).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

Kind = Literal["sinusoid", "images", "locomotion"]


class Task(NamedTuple):
    """What a preset trains on."""

    name: str
    about: str
    kind: Kind
    methods: tuple[str, ...]
    settings: tuple[Any, ...]  # of its kind: (shots,), (data set, ways, shots) or (environment id,)


SINUSOID_METHODS = (
    "maml", "fomaml", "meta-sgd", "pretrained", "reptile", "cavia", "imaml", "learned-optimizer", "alpaca", "cnp",
)  # fmt: skip
IMAGE_METHODS = (
    "maml", "fomaml", "meta-sgd", "anil", "maml-plus-plus", "alpha-maml", "bayesian-maml", "cavia", "imaml",
    "meta-lstm", "learned-optimizer", "reptile", "protonet", "matching", "siamese", "relation", "imp", "gnn", "r2d2",
    "lrd2", "metaoptnet", "mann", "snail", "meta-networks", "cnp", "finetune", "nearest-neighbour",
)  # fmt: skip
LOCOMOTION_METHODS = ("maml", "fomaml", "meta-sgd", "anil", "gmps", "promp", "reptile", "pretrained", "oracle")

SINUSOIDS = {"sinusoid": 5, "sinusoid-10shot": 10}  # shots
IMAGES = {
    "omniglot": "N new handwritten characters, from K drawings of each",
    "omniglot-small": "N characters of new alphabets, from K drawings of each",
    "miniimagenet": "N new kinds of things, from K photographs of each",
}
SHOTS = ((5, 1), (5, 5), (20, 1), (20, 5))  # (ways, shots)
ENVIRONMENTS = {  # task: (environment, what it is, whether the MAML paper has it)
    "half-cheetah-vel": ("HalfCheetahVel", "run at the goal velocity", True),
    "half-cheetah-dir": ("HalfCheetahDir", "run forwards or backwards", True),
    "ant-vel": ("AntVel", "run at the goal velocity", True),
    "ant-dir": ("AntDir", "run forwards or backwards", True),
    "ant-dir-2d": ("AntDir2D", "run in the goal direction", False),
    "ant-goal": ("AntGoal", "run to the goal", True),
    "point-nav": ("PointNav", "move to the goal", True),
}


def _locomotion(name: str, about: str, id: str) -> Task:
    return Task(name, about, "locomotion", LOCOMOTION_METHODS, (f"metarl/{id}-v0",))


def _tasks() -> Iterable[Task]:
    for name, shots in SINUSOIDS.items():
        yield Task(name, f"a sine wave, from {shots} points", "sinusoid", SINUSOID_METHODS, (shots,))
    for data, about in IMAGES.items():
        for ways, shots in SHOTS:
            yield Task(f"{data}-{ways}way-{shots}shot", about, "images", IMAGE_METHODS, (data, ways, shots))
    for name, (world, about, published) in ENVIRONMENTS.items():
        yield _locomotion(name, about, world)
        if published:
            yield _locomotion(f"{name}-2017", f"{about} (the MAML paper's physics)", f"{world}-MAML2017")


TASKS = tuple(_tasks())


def nearest(name: str, known: Iterable[str]) -> str:
    """What of `known` may have been meant by `name`, or else all of it, to follow a colon in a message."""
    names = list(known)
    return similar(name, names) or f"choose one of {', '.join(names)}"


def similar(name: str, known: Iterable[str]) -> str:
    """What of `known` may have been meant by `name`, as a question; "" where nothing is near."""
    near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.4)
    return f"did you mean {' or '.join(near)}?" if near else ""
