"""Calls of data sets and supervised tasks that make no sense: a table of them and of what has to be said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from pictures import numbered

from metarl.core import Predictor
from metarl.tasks.datasets.cache import fingerprint
from metarl.tasks.datasets.decoding import decode
from metarl.tasks.datasets.download import download
from metarl.tasks.datasets.folder import data_folder, image_folder
from metarl.tasks.datasets.miniimagenet import miniimagenet
from metarl.tasks.datasets.omniglot import omniglot
from metarl.tasks.datasets.pickles import read_arrays
from metarl.tasks.images import ImageClasses, Images, draw_distinct
from metarl.tasks.joint import Joint
from metarl.tasks.sinusoid import Sinusoid

NAN, INF = float("nan"), float("inf")
HERE = Path(__file__).parent


class Call(NamedTuple):
    name: str
    call: Callable[[], object]
    message: str  # a regular expression


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def arguments(name: str, call: Callable[..., object], table: dict[str, list[Any]]) -> list[Call]:
    """`call` with each of these values of each argument; the message names the argument."""
    return [
        Call(f"{name} {argument}={str(value)[:20]}", lambda a=argument, v=value: call(**{a: v}), rf"^{argument} is ")  # type: ignore[misc]
        for argument, values in table.items()
        for value in values
    ]


def classes(**change: Any) -> ImageClasses:
    good: dict[str, Any] = {
        "images": torch.zeros(6, 1, 4, 4, dtype=torch.uint8), "names": ("a", "b"), "counts": np.array([2, 4]),
    }  # fmt: skip
    return ImageClasses(**good | change)


def images(**change: Any) -> Images:
    return Images(**{"classes": numbered([9, 9, 9]), "ways": 3, "queries": 2} | change)


def joint(**change: Any) -> Joint:
    return Joint(**{"classes": numbered([9, 9, 9])} | change)


def folder(**change: Any) -> ImageClasses:
    return image_folder(**{"path": HERE, "split": "train"} | change)


def lake(**change: Any) -> ImageClasses:
    return omniglot(**{"data": HERE, "split": "train", "download": False} | change)


def mini(**change: Any) -> ImageClasses:
    return miniimagenet(**{"data": HERE, "split": "train"} | change)


def scored(tasks: Any, outputs: torch.Tensor) -> object:
    class Fixed(Predictor):
        def __init__(self) -> None:
            pass

        def __call__(self, x: torch.Tensor) -> torch.Tensor:
            return outputs

    return tasks.score(Fixed())


NO_COUNT = [0, -1, 2.5, NAN, INF, "5", None, True, [5], np.zeros(2)]
NO_WHOLE = [-1, 2.5, NAN, "5", None, True]
NO_NUMBER = [NAN, INF, -INF, "0.1", None, -0.1, 1 + 1j]
NO_SPLIT = ["val", "", None, 1, "Train", ["train"], ("train",)]

CALLS = [
    *arguments("Sinusoid", Sinusoid, {"shots": NO_COUNT, "queries": NO_COUNT, "tests": NO_COUNT}),
    *arguments("Sinusoid", Sinusoid, {"device": [None, 1, "gpu", "cpu:x", "", "cuda:99"]}),
    *arguments("Images", images, {
        "classes": [None, torch.zeros(3), [1]], "ways": [1, *NO_COUNT], "shots": NO_COUNT, "queries": NO_COUNT,
        "shift": NO_WHOLE, "warp": [0.31, *NO_NUMBER], "same_alphabet": [1.1, *NO_NUMBER],
        "transductive": [0, None, "no"], "device": [None, "gpu", "cuda:99"],
    }),
    *arguments("Joint", joint, {
        "classes": [None, "x"], "images": [1, *NO_COUNT], "shift": NO_WHOLE, "warp": [0.31, *NO_NUMBER],
        "device": [None, "gpu"],
    }),
    *arguments("Sinusoid.sample", lambda n: Sinusoid().sample(n, rng()), {"n": NO_COUNT}),
    *arguments("Images.sample", lambda n: images().sample(n, rng()), {"n": NO_COUNT}),
    *arguments("Joint.sample", lambda n: joint().sample(n, rng()), {"n": NO_COUNT}),
    *arguments("Sinusoid.sample", lambda rng: Sinusoid().sample(2, rng), {"rng": [None, 0, torch.Generator()]}),
    *arguments("Images.sample", lambda rng: images().sample(2, rng), {"rng": [None, 0, np.random]}),
    *arguments("Joint.sample", lambda rng: joint().sample(2, rng), {"rng": [None, 0, np.random.RandomState(0)]}),
    *arguments("ImageClasses", classes, {
        "images": [None, [[1]], np.zeros((6, 1, 4, 4), np.uint8)], "names": [None, ["a", "b"], "ab", (1, 2)],
        "counts": [None, [2, 4], torch.tensor([2, 4])],
    }),
    *arguments("select", numbered([2, 2]).select, {
        "chosen": [[], [2], [-1], [0.5], None, 1, "0", [True], np.array([[0]]), {0}, [10**30]],
    }),
    *arguments("image_folder", folder, {
        "path": [None, 1, b"x"], "split": NO_SPLIT, "size": [1025, 10**9, *NO_COUNT], "grey": [1, None, "yes"],
        "seed": NO_WHOLE,
    }),
    *arguments("omniglot", lake, {
        "data": [1, b"x"], "split": NO_SPLIT, "protocol": ["lake", None, 1, ""], "rotations": [1, None, "yes"],
        "size": [1025, *NO_COUNT], "seed": NO_WHOLE, "download": [1, None],
    }),
    *arguments("miniimagenet", mini, {"data": [1, b"x"], "split": NO_SPLIT}),
    *arguments("data_folder", data_folder, {"data": [1, b"x"]}),
    *arguments("decode", lambda **change: decode(**{"files": {}, "size": 4, "mode": "L"} | change), {
        "files": [None, [1]], "size": NO_COUNT, "mode": ["RGBA", None, 1],
    }),
    *arguments("download", lambda **change: download(**{"url": "http://x", "path": HERE / "x", "md5": "0"} | change), {
        "url": [None, 1], "path": [None, "x"], "md5": [None, 1],
    }),
    *arguments("read_arrays", read_arrays, {"path": [None, 1, "x"]}),
    Call("Images, ways", lambda: images(ways=4), r"^ways is 4, but there are only 3 classes: lower ways"),
    Call("Images, shots", lambda: images(shots=8), r"^class c0 has 9 images, but 8 shots and 2 queries need 10: lower"),
    Call("Images, shift", lambda: images(shift=2), r"^shift is 2, but the images have 2 pixels a side: give at most 1"),
    Call("Joint, shift", lambda: joint(shift=2), r"^shift is 2, but the images have 2 pixels a side: give at most 1"),
    Call("floats", lambda: classes(images=torch.rand(6, 1, 4, 4)), r"^images are float32: give uint8 from 0 to 255"),
    Call("int64", lambda: classes(images=torch.zeros(6, 1, 4, 4).long()), r"^images are int64: give uint8"),
    Call("booleans", lambda: classes(images=torch.zeros(6, 1, 4, 4).bool()), r"^images are bool: give uint8"),
    *(Call(f"images {shape}", lambda shape=shape: classes(images=torch.zeros(shape, dtype=torch.uint8)),  # type: ignore[misc]
        r"^images have the shape \[.*\]: give squares, \[M, channels, size, size\]")
      for shape in ((6, 1, 4, 5), (6, 4, 4), (6, 4, 4, 1), (6, 16), (6, 0, 4, 4), (0, 1, 4, 4), (6, 1, 0, 0))),
    *(Call(f"counts {counts}", lambda counts=counts: classes(counts=np.array(counts)), r"^counts are ")  # type: ignore[misc]
      for counts in ([2, 3], [2, 5], [0, 6], [-1, 7], [6], [2, 2, 2], [[2, 4]], [2.0, 4.0], [True, True], [], 6)),
    Call("names", lambda: classes(names=("a",)), r"^counts are int64 \[2\]: give int64 \[1\], one for each name"),
    Call("names twice", lambda: classes(names=("a", "a")), r"^names has 'a' twice"),
    Call("distinct", lambda: draw_distinct(np.array([3, 2]), 3, rng()), r"^there are no 3 distinct integers below 2"),
    Call("joint support", lambda: joint().sample(1, rng()).support(None, 0), r"^joint classification has no support"),  # type: ignore[arg-type]
    *(Call(f"score {shape}", lambda shape=shape: scored(images().sample(2, rng()), torch.zeros(shape)),  # type: ignore[misc]
        r"^the outputs have the shape \[.*\] and the labels \[2, 6\] go up to 2: give the net one output")
      for shape in ((2, 6, 2), (2, 6, 1), (2, 6), (6, 3), (2, 5, 3), (2, 6, 1, 3))),
    Call("joint score", lambda: scored(joint().sample(1, rng()), torch.zeros(1, 75, 2)), r"^the outputs have"),
    *(Call(f"wave score {shape}", lambda shape=shape: scored(Sinusoid().sample(2, rng()), torch.zeros(shape)),  # type: ignore[misc]
        r"^the outputs have the shape \[.*\] and the targets \[2, 100, 1\]: give the net one output")
      for shape in ((2, 100), (2, 100, 2), (100, 1), (2, 1, 1))),
    Call("fingerprint", lambda: fingerprint([HERE / "none"]), r"/none does not exist: restore it"),
    Call("fingerprint of a folder", lambda: fingerprint([HERE]), r"is a folder, not a file"),
    Call("read nothing", lambda: read_arrays(HERE / "none.pkl"), r"/none\.pkl does not exist: restore it"),
    Call("read a folder", lambda: read_arrays(HERE), r"is a folder, not a file"),
    Call("no such user", lambda: data_folder("~nobody-of-this-name/data"), r"^there is no folder ~nobody-of-this"),
    Call("a NUL", lambda: data_folder("a\0b"), r"^there is no folder a"),
    Call("a long path", lambda: image_folder("x" * 5000, "train"), r"^cannot read x+ \(File name too long\)"),
    Call("a long name", lambda: miniimagenet("x" * 300, "train"), r"^cannot read x+ \(File name too long\)"),
    Call("no Omniglot", lake, r"^no Omniglot in .*: there is neither images_background\.zip nor a folder"),
    Call("no miniImageNet", mini, r"^no miniImageNet in .*: save the pickles"),
    Call("reptile's validation", lambda: lake(protocol="reptile", split="validation"), r"^there is no split"),
]  # fmt: skip
