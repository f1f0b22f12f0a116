"""Batches of all classes at once."""

import numpy as np
import pytest
import torch

from metarl.core import adapt
from metarl.learners.baselines import NearestNeighbour
from metarl.tasks.images import ImageClasses
from metarl.tasks.joint import Joint

COUNTS = np.array([1, 3, 2])


def classes() -> ImageClasses:
    """Each image is filled with its class's index, and has its own mark in a corner."""
    images = torch.repeat_interleave(torch.arange(3, dtype=torch.uint8), torch.from_numpy(COUNTS))
    images = images.view(6, 1, 1, 1).repeat(1, 1, 4, 4)
    images[:, 0, 0, 0] = torch.arange(6, dtype=torch.uint8)
    return ImageClasses(images, ("a", "b", "c"), COUNTS)


def test_labels_are_the_classes_and_all_images_come() -> None:
    joint = Joint(classes(), images=50)
    tasks = joint.sample(4, np.random.default_rng(0))
    x, y = tasks.query(next(adapt(NearestNeighbour(ways=2), tasks, steps=0))[0])
    assert x.shape == (4, 50, 1, 4, 4)
    torch.testing.assert_close((255 * x[:, :, 0, 1, 1]).round().long(), y)
    assert sorted((255 * x[:, :, 0, 0, 0]).round().long().unique().tolist()) == [0, 1, 2, 3, 4, 5]
    again = joint.sample(4, np.random.default_rng(0))
    assert torch.equal(again.query(None).x, x)


def test_score_is_the_share_that_is_right() -> None:
    tasks = Joint(classes(), images=60).sample(2, np.random.default_rng(1))
    y = tasks.query(None).y
    always_b = lambda x: torch.tensor([0.0, 1.0, 0.0]).expand(*x.shape[:2], 3)  # noqa: E731
    torch.testing.assert_close(tasks.score(always_b), (y == 1).float().mean(1))


def test_memory_is_that_of_the_batches() -> None:
    joint = Joint(classes(), images=50)
    x, y = joint.sample(4, np.random.default_rng(0)).query(None)
    assert x.nbytes + y.nbytes <= joint.memory(4) < 1.2 * (x.nbytes + y.nbytes)


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="images is 1"):
        Joint(classes(), images=1)
    tasks = Joint(classes(), images=4).sample(1, np.random.default_rng(0))
    with pytest.raises(ValueError, match="steps=0"):
        tasks.support(None, 0)
