"""N-way K-shot classification tasks, sampled from classes of images."""

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
from metarl.tasks.datasets.image_classes import ImageClasses

Warp = Annotated[float, Range(0, 0.3)]
"""The standard deviation of the random affine maps that augment images."""


class Picks(NamedTuple):
    """The images of a meta-batch: their indices in `ImageClasses.images`, their labels, and their augmentations.

    All are int64 [T, n] except `warps`, linear maps of the plane, float32 [T, n, 2, 2], or None. `rows` and `columns`
    are the shifts of the images, as indices of `shifted_windows`.
    """

    indices: Tensor
    labels: Tensor
    rows: Tensor
    columns: Tensor
    warps: Tensor | None = None

    def of_tasks(self, rows: slice) -> Picks:
        """The images of the tasks `rows`."""
        return Picks(*(None if part is None else part[rows] for part in self))  # type: ignore[arg-type]


class ImageTasks(Tasks):
    """T classification tasks, whose images are gathered when first used. Every inner step has the whole support.

    `transductive` is as in `Images`.
    """

    def __init__(self, windows: Tensor, support: Picks, query: Picks, *, transductive: bool = True) -> None:
        self.n, self.windows, self.transductive = len(support.indices), windows, transductive
        self._picks = support, query

    @cached_property
    def _support(self) -> Samples:
        return gather_images(self.windows, self._picks[0])

    @cached_property
    def _query(self) -> Samples:
        return gather_images(self.windows, self._picks[1])

    def support(self, predict: Predictor, step: int) -> Samples:
        return self._support

    def query(self, predict: Predictor) -> Samples:
        return self._query

    def share(self, rows: slice) -> ImageTasks:
        support, query = (picks.of_tasks(rows) for picks in self._picks)
        return ImageTasks(self.windows, support, query, transductive=self.transductive)

    def score(self, predict: Predictor) -> Tensor:
        """The accuracy on the query, [T], of predictions that are logits [T, n, ways]."""
        x, y = self._query
        if self.transductive:
            return accuracy(predict(x), y)
        with_support = (torch.cat([self._support.x, x[:, i : i + 1]], 1) for i in range(x.shape[1]))
        return accuracy(torch.stack([predict(images)[:, -1] for images in with_support], 1), y)


class Images(Distribution):
    """Few-shot classification: `ways` classes with `shots` support images and `queries` query images of each.

    A batch is Samples(x float32 [T, n, channels, size, size] in 0 … 1, y int64 [T, n]) with n = ways·shots or
    ways·queries, in random order. Classes are assigned to labels at random in each task. The images are kept on
    `device`. There are two augmentations for training. `shift` moves each image by up to this number of pixels in both
    directions and repeats its border. `warp` rotates, scales and shears each image by the linear map 1 + `warp`·N(0, 1)
    of the plane. `same_alphabet` is the probability that all classes of a task are from one alphabet
    (`ImageClasses.families`), which makes the task harder.

    A net that normalises by batch statistics sees all queries of a task at once, which makes its predictions
    `transductive`. With transductive=False, each query is scored in a batch with the support and without the others.

    Raises ValueError if there are more ways than classes, or if a class has fewer than shots + queries images.
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
            raise ValueError(f"ways is {ways}, but there are only {len(classes)} classes: lower ways")
        poorest = int(classes.counts.argmin())
        if classes.counts[poorest] < shots + queries:
            raise ValueError(
                f"class {classes.names[poorest]} has {classes.counts[poorest]} images, but {shots} shots and {queries} "
                f"queries need {shots + queries}: lower one of them"
            )
        self.classes, self.device, self.transductive = classes, as_device(device), transductive
        self.ways, self.shots, self.queries, self.shift, self.warp = ways, shots, queries, shift, warp
        self.windows = shifted_windows(classes.images.to(self.device), shift)
        self.same_alphabet, families = same_alphabet, [f for f in classes.families if len(f) >= ways]
        if same_alphabet and not families:
            raise ValueError(f"same_alphabet is {same_alphabet}, but no alphabet has {ways} classes: lower ways")
        self.families, self.sizes = families, np.array([len(family) for family in families])

    def memory(self, n: int) -> int:
        return n * self.ways * (self.shots + self.queries) * self.classes.bytes_of_one

    @checked
    def sample(self, n: Count, rng: np.random.Generator) -> ImageTasks:
        chosen = draw_distinct(np.full(n, len(self.classes)), self.ways, rng)  # [T, ways]
        if self.same_alphabet:
            chosen = np.where(rng.random((n, 1)) < self.same_alphabet, self._of_one_family(n, rng), chosen)
        within = draw_distinct(self.classes.counts[chosen], self.shots + self.queries, rng)
        index = self.classes.starts[chosen][..., None] + within  # [T, ways, shots + queries]
        picks = (self._picks(part, rng) for part in np.split(index, [self.shots], axis=2))
        return ImageTasks(self.windows, *picks, transductive=self.transductive)

    def _of_one_family(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Classes [n, ways], each row from one family. Families are drawn with probabilities proportional to size."""
        families = rng.choice(len(self.sizes), n, p=self.sizes / self.sizes.sum())
        members = draw_distinct(self.sizes[families], self.ways, rng)
        return np.stack([self.families[f][row] for f, row in zip(families, members, strict=True)])

    def _picks(self, index: np.ndarray, rng: np.random.Generator) -> Picks:
        """The images with indices [T, ways, k], shuffled within each task and with random augmentations."""
        tasks, ways, k = index.shape
        order = rng.permuted(np.broadcast_to(np.arange(ways * k), (tasks, ways * k)), axis=1)
        shuffled = np.take_along_axis(index.reshape(tasks, ways * k), order, axis=1)
        rows, columns = rng.integers(2 * self.shift + 1, size=(2, tasks, ways * k))
        picks = Picks(*(torch.from_numpy(a).to(self.device) for a in (shuffled, order // k, rows, columns)))
        return picks._replace(warps=draw_warps(self.warp, picks.indices, rng))


def accuracy(logits: Tensor, y: Tensor) -> Tensor:
    """The fraction [T] of labels y [T, n] that the largest of the logits [T, n, ways] predicts."""
    if logits.shape[:-1] != y.shape or logits.shape[-1] <= y.max():
        raise ValueError(
            f"the outputs have the shape {list(logits.shape)} and the labels {list(y.shape)} go up to {y.max()}: give "
            f"the net one output for each class"
        )
    return (logits.argmax(-1) == y).float().mean(1)


def draw_distinct(below: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw `n` distinct integers below each of `below`, [...] to [..., n]. All ordered choices are equally likely.

    Floyd's algorithm (Bentley and Floyd 1987) and a shuffle: the cost depends on n, not on the size of the range.
    """
    if below.min(initial=n) < n:
        raise ValueError(f"there are no {n} distinct integers below {below.min()}")
    found = np.empty((*below.shape, n), np.int64)
    for i in range(n):
        last = below - n + i
        drawn = rng.integers(last + 1)
        taken = (found[..., :i] == drawn[..., None]).any(-1)
        found[..., i] = np.where(taken, last, drawn)
    return rng.permuted(found, axis=-1)


def shifted_windows(images: Tensor, shift: int) -> Tensor:
    """All shifts of the images [M, channels, size, size] by up to `shift` pixels in both directions, borders repeated.

    The result [M, channels, 2·shift + 1, 2·shift + 1, size, size] is a view of the images with repeated borders.
    """
    size = images.shape[-1]
    if shift >= size:
        raise ValueError(f"shift is {shift}, but the images have {size} pixels a side: give at most {size - 1}")
    if shift:
        bordered = torch.arange(-shift, size + shift, device=images.device).clamp(0, size - 1)
        images = images[:, :, bordered][..., bordered]
    return images.unfold(2, size, 1).unfold(3, size, 1)


def draw_warps(warp: float, indices: Tensor, rng: np.random.Generator) -> Tensor | None:
    """Random maps 1 + `warp`·N(0, 1), float32 [T, n, 2, 2], for the images `indices` [T, n]; None if `warp` is 0."""
    if not warp:
        return None
    drawn = np.eye(2) + warp * rng.standard_normal((*indices.shape, 2, 2))
    return torch.from_numpy(drawn.astype(np.float32)).to(indices.device)


def gather_images(windows: Tensor, picks: Picks) -> Samples:
    """The images of `picks`, float32 [T, n, channels, size, size] in 0 … 1, with their labels."""
    if windows.is_cuda:
        x = windows[picks.indices, :, picks.rows, picks.columns].float().div_(255)
    else:  # in NumPy, since torch would use all its threads for a millisecond of work and, on a busy machine, wait
        indices, rows, columns = (part.numpy() for part in (picks.indices, picks.rows, picks.columns))
        x = torch.from_numpy(np.divide(windows.numpy()[indices, :, rows, columns], np.float32(255)))
    return Samples(x if picks.warps is None else apply_warps(x, picks.warps), picks.labels)


def apply_warps(x: Tensor, maps: Tensor) -> Tensor:
    """Warp images x [T, n, channels, size, size]: point p of the result is point map·p of x, borders repeated.

    The origin is the centre of the image.
    """
    flat = x.flatten(0, 1)
    grid = functional.affine_grid(functional.pad(maps.flatten(0, 1), (0, 1)), list(flat.shape), align_corners=False)
    return functional.grid_sample(flat, grid, padding_mode="border", align_corners=False).view_as(x)
