"""What tests of experiments share."""

from pathlib import Path

import numpy as np
import pytest
import torch

from metarl.experiments.config import images as settings
from metarl.tasks.images import ImageClasses

SPLITS = ("train", "validation", "test")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """In place of Omniglot, noisy copies of a pattern a class; what was asked for is listed."""
    found: list[tuple[object, ...]] = []

    def fake(data: Path | None, split: str, *, protocol: str) -> ImageClasses:
        found.append((data, split, protocol))
        rng = np.random.default_rng(SPLITS.index(split))
        patterns = 200 * (rng.random((12, 1, 1, 28, 28)) < 0.3)
        images = (patterns + rng.integers(0, 40, (12, 20, 1, 28, 28))).astype(np.uint8)
        names = tuple(f"{split}{c}" for c in range(12))
        return ImageClasses(torch.from_numpy(images).flatten(0, 1), names, np.full(12, 20))

    monkeypatch.setattr(settings, "omniglot", fake)
    return found
