"""Classes of images: turned, mirrored, selected, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pictures import numbered

from metarl.tasks.images import ImageClasses, Images

COUNTS = [7, 12, 9, 7, 20, 8]


def test_rotations_are_new_classes() -> None:
    images = torch.arange(2 * 4, dtype=torch.uint8).view(2, 1, 2, 2)
    turned = ImageClasses(images, ("a", "b"), np.array([1, 1])).rotated()
    assert len(turned) == len(set(turned.names)) == len(turned.counts) == 8
    of_a = {name: turned.select([i]).images[0, 0].tolist() for i, name in enumerate(turned.names) if name[0] == "a"}
    assert of_a == {
        "a": [[0, 1], [2, 3]],
        "a turned 90": [[1, 3], [0, 2]],
        "a turned 180": [[3, 2], [1, 0]],
        "a turned 270": [[2, 0], [3, 1]],
    }


def test_mirror_images_are_new_classes() -> None:
    images = torch.arange(3 * 4, dtype=torch.uint8).view(3, 1, 2, 2)
    both = ImageClasses(images, ("a", "b"), np.array([1, 2])).mirrored()
    assert both.names == ("a", "b", "a mirrored", "b mirrored")
    assert both.counts.tolist() == [1, 2, 1, 2]
    assert both.select([2]).images[:, 0].tolist() == [[[1, 0], [3, 2]]]
    assert both.select([3]).images[:, 0].tolist() == [[[5, 4], [7, 6]], [[9, 8], [11, 10]]]


def test_select_keeps_each_classes_images() -> None:
    chosen = numbered(COUNTS).select([4, 1])
    assert chosen.names == ("c4", "c1")
    assert chosen.counts.tolist() == [20, 12]
    assert chosen.images[:, 0, 0, 0].tolist() == [*range(35, 55), *range(7, 19)]


def test_floats_in_0_to_1_are_refused_with_what_converts_them() -> None:
    floats = torch.linspace(0, 1, 256).view(16, 1, 4, 4)
    with pytest.raises(ValueError, match=r"images are float32: give uint8 .*\(255 \* images\).round\(\)"):
        ImageClasses(floats, ("a", "b"), np.array([8, 8]))
    classes = ImageClasses((255 * floats).round().to(torch.uint8), ("a", "b"), np.array([8, 8]))
    batch = Images(classes, ways=2, queries=7).sample(1, np.random.default_rng(0)).query(None)  # type: ignore[arg-type]
    assert batch.x.max() > 0.9
