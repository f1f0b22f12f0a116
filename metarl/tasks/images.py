"""N-way K-shot classification: few-shot tasks drawn from classes of images that lie in one tensor."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from metarl.core import Distribution, Predictor, Tasks
from metarl.devices import as_device
from metarl.losses import Samples
from metarl.ranges import Count, Range, UnitInterval, Whole, checked
from metarl.tasks.image_classes import ImageClasses

Warp = Annotated[float, Range(0, 0.3)]
"""How far images are turned, scaled and sheared: more would turn them inside out."""


class Picks(NamedTuple):
    """The images of a meta-batch, int64 [T, n] each: their places in `ImageClasses.images`, their labels, and where
    in the bordered image (see `windows`) they are cut out. `warps` [T, n, 2, 2] are linear maps of the plane, or None.
    """

    places: Tensor
    labels: Tensor
    rows: Tensor
    columns: Tensor
    warps: Tensor | None = None


class ImageTasks(Tasks):
    """T classification tasks. Their images are gathered when first asked for; every inner step sees all K shots.

    `transductive` is as in `Images`.
    """

    def __init__(self, windows: Tensor, support: Picks, query: Picks, *, transductive: bool = True) -> None:
        self.n, self.windows, self.transductive = len(support.places), windows, transductive
        self._picks = support, query

    @cached_property
    def _support(self) -> Samples:
        return gathered(self.windows, self._picks[0])

    @cached_property
    def _query(self) -> Samples:
        return gathered(self.windows, self._picks[1])

    def support(self, predict: Predictor, step: int) -> Samples:
        return self._support

    def query(self, predict: Predictor) -> Samples:
        return self._query

    def score(self, predict: Predictor) -> Tensor:
        """The share of the query's images that are classified rightly, [T], from logits [T, n, ways]."""
        x, y = self._query
        if self.transductive:
            return accuracy(predict(x), y)
        with_support = (torch.cat([self._support.x, x[:, i : i + 1]], 1) for i in range(x.shape[1]))
        return accuracy(torch.stack([predict(images)[:, -1] for images in with_support], 1), y)


class Images(Distribution):
    """Tasks that tell `ways` classes apart from `shots` images of each, judged on `queries` other images of each.

    A batch is Samples(x float32 [T, n, channels, size, size] in 0 … 1, y int64 [T, n]) with n = ways·shots or
    ways·queries, in random order, as learners that read a sequence need. Labels are given anew in each task. The images
    are held on `device`; only indices are drawn in NumPy. Two augmentations for training: with `shift`, every image is
    moved by up to so many pixels each way, its border repeated; with `warp`, it is turned, scaled and sheared by the
    linear map 1 + `warp`·N(0, 1) of its plane. `same_alphabet` is the share of tasks whose classes are all of one
    alphabet (`ImageClasses.families`), which are harder to tell apart.

    Nets that normalise by the batch see all queries of a task at once: their score is `transductive`. Where that is
    False, each query is scored in a batch of itself and the support, and knows nothing of the others.

    Raises ValueError for counts below 1, more ways than classes, and a class with fewer images than a task takes.
    """

    metric = "accuracy"

    @checked
    def __init__(
        self,
        classes: ImageClasses,
        *,
        ways: Annotated[int, Range(2)] = 5,
        shots: Count = 1,
        queries: Count = 15,
        shift: Whole = 0,
        warp: Warp = 0.0,
        same_alphabet: UnitInterval = 0.0,
        transductive: bool = True,
        device: torch.device | str = "cpu",
    ) -> None:
        if ways > len(classes):
            raise ValueError(f"{ways} ways, but there are only {len(classes)} classes: lower the ways")
        poorest = int(classes.counts.argmin())
        if classes.counts[poorest] < shots + queries:
            raise ValueError(
                f"class {classes.names[poorest]} has {classes.counts[poorest]} images, but {shots} shots and {queries} "
                f"queries take {shots + queries}: lower one of them"
            )
        self.classes, self.device, self.transductive = classes, as_device(device), transductive
        self.ways, self.shots, self.queries, self.shift, self.warp = ways, shots, queries, shift, warp
        self.windows = windows(classes.images.to(self.device), shift)
        self.same_alphabet, families = same_alphabet, [f for f in classes.families if len(f) >= ways]
        if same_alphabet and not families:
            raise ValueError(f"same_alphabet is {same_alphabet}, but no alphabet has {ways} classes: lower the ways")
        self.families, self.sizes = families, np.array([len(family) for family in families])

    def memory(self, n: int) -> int:
        return n * self.ways * (self.shots + self.queries) * self.classes.bytes_of_one

    @checked
    def sample(self, n: Count, rng: np.random.Generator) -> ImageTasks:
        chosen = distinct(np.full(n, len(self.classes)), self.ways, rng)  # [T, ways]
        if self.same_alphabet:
            chosen = np.where(rng.random((n, 1)) < self.same_alphabet, self._of_one_family(n, rng), chosen)
        within = distinct(self.classes.counts[chosen], self.shots + self.queries, rng)
        index = self.classes.starts[chosen][..., None] + within  # [T, ways, shots + queries]
        picks = (self._picks(part, rng) for part in np.split(index, [self.shots], axis=2))
        return ImageTasks(self.windows, *picks, transductive=self.transductive)

    def _of_one_family(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Classes [n, ways], each row's of one family; a family is as likely as it is large."""
        families = rng.choice(len(self.sizes), n, p=self.sizes / self.sizes.sum())
        places = distinct(self.sizes[families], self.ways, rng)
        return np.stack([self.families[f][row] for f, row in zip(families, places, strict=True)])

    def _picks(self, index: np.ndarray, rng: np.random.Generator) -> Picks:
        """Shuffle images [T, ways, k] of one task among themselves."""
        tasks, ways, k = index.shape
        order = rng.permuted(np.broadcast_to(np.arange(ways * k), (tasks, ways * k)), axis=1)
        shuffled = np.take_along_axis(index.reshape(tasks, ways * k), order, axis=1)
        rows, columns = rng.integers(2 * self.shift + 1, size=(2, tasks, ways * k))
        picks = Picks(*(torch.from_numpy(a).to(self.device) for a in (shuffled, order // k, rows, columns)))
        return picks._replace(warps=warps(self.warp, picks.places, rng))


def accuracy(logits: Tensor, y: Tensor) -> Tensor:
    """The share [T] of labels y [T, n] that the largest of the logits [T, n, ways] names."""
    if logits.shape[:-1] != y.shape or logits.shape[-1] <= y.max():
        raise ValueError(
            f"the outputs have the shape {list(logits.shape)} for labels {list(y.shape)} up to {y.max()}: give the net "
            f"an output for each class"
        )
    return (logits.argmax(-1) == y).float().mean(1)


def distinct(below: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """`n` different integers from 0 to each `below` − 1, every ordered choice equally likely: [...] to [..., n].

    Floyd's algorithm (Bentley and Floyd 1987), then a shuffle: n draws, however many there are to choose from.
    """
    if below.min(initial=n) < n:
        raise ValueError(f"there are no {n} different integers below {below.min()}")
    found = np.empty((*below.shape, n), np.int64)
    for i in range(n):
        last = below - n + i
        drawn = rng.integers(last + 1)
        taken = (found[..., :i] == drawn[..., None]).any(-1)
        found[..., i] = np.where(taken, last, drawn)
    return rng.permuted(found, axis=-1)


def windows(images: Tensor, shift: int) -> Tensor:
    """Every image [channels, size, size] moved by up to `shift` pixels each way, its border repeated.

    A view [M, channels, 2·shift + 1, 2·shift + 1, size, size] of the images with a border of `shift` pixels.
    """
    size = images.shape[-1]
    if shift >= size:
        raise ValueError(f"shift is {shift}, but the images have {size} pixels a side: give {size - 1} at most")
    if shift:
        bordered = torch.arange(-shift, size + shift, device=images.device).clamp(0, size - 1)
        images = images[:, :, bordered][..., bordered]
    return images.unfold(2, size, 1).unfold(3, size, 1)


def warps(warp: float, places: Tensor, rng: np.random.Generator) -> Tensor | None:
    """A map 1 + `warp`·N(0, 1) for each image of `places` [T, n], float32 [T, n, 2, 2]; None where warp is 0."""
    if not warp:
        return None
    drawn = np.eye(2) + warp * rng.standard_normal((*places.shape, 2, 2))
    return torch.from_numpy(drawn.astype(np.float32)).to(places.device)


def gathered(windows: Tensor, picks: Picks) -> Samples:
    """The picked images [T, n, channels, size, size] as float32 in 0 … 1, with their labels."""
    if windows.is_cuda:
        x = windows[picks.places, :, picks.rows, picks.columns].float().div_(255)
    else:  # NumPy: torch would wake all its threads for a millisecond's work, and on a busy machine wait for them
        places, rows, columns = (part.numpy() for part in (picks.places, picks.rows, picks.columns))
        x = torch.from_numpy(np.divide(windows.numpy()[places, :, rows, columns], np.float32(255)))
    return Samples(x if picks.warps is None else warped(x, picks.warps), picks.labels)


def warped(x: Tensor, maps: Tensor) -> Tensor:
    """Images [T, n, channels, size, size] whose point p comes from map·p, 0 in the middle, the border repeated."""
    flat = x.flatten(0, 1)
    grid = functional.affine_grid(functional.pad(maps.flatten(0, 1), (0, 1)), list(flat.shape), align_corners=False)
    return functional.grid_sample(flat, grid, padding_mode="border", align_corners=False).view_as(x)
