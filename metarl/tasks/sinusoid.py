"""Sinusoid regression, as in the MAML paper (Finn et al. 2017, section 5.1)."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from metarl.core import Distribution, Predictor, Tasks
from metarl.devices import as_device
from metarl.losses import Samples
from metarl.ranges import Count, checked


class SinusoidTasks(Tasks):
    """T sinusoids y = A·sin(x − φ), given as points that are split into support, query and test points."""

    def __init__(self, samples: Samples, shots: int, queries: int) -> None:
        self.n, self._samples, self._shots, self._queries = len(samples.x), samples, shots, queries
        self._support = Samples(*(part[:, :shots] for part in samples))
        self._query = Samples(*(part[:, shots : shots + queries] for part in samples))
        self.test = Samples(*(part[:, shots + queries :] for part in samples))

    def support(self, predict: Predictor, step: int) -> Samples:
        return self._support

    def query(self, predict: Predictor) -> Samples:
        return self._query

    def share(self, rows: slice) -> SinusoidTasks:
        return SinusoidTasks(Samples(*(part[rows] for part in self._samples)), self._shots, self._queries)

    def score(self, predict: Predictor) -> Tensor:
        """The mean squared error on the test points, [T]. If predictions are (mean, log-std), only the mean is used."""
        outputs = predict(self.test.x)
        mean = outputs[0] if isinstance(outputs, tuple) else outputs
        if mean.shape != self.test.y.shape:
            raise ValueError(
                f"the outputs have the shape {list(mean.shape)} and the targets {list(self.test.y.shape)}: "
                f"give the net one output"
            )
        return (mean - self.test.y).square().mean((1, 2))


class Sinusoid(Distribution):
    """Sinusoids y = A·sin(x − φ) with A ~ U[0.1, 5], φ ~ U[0, π] and inputs x ~ U[−5, 5].

    Each task has `shots` support points, `queries` query points, and `tests` points on which the score is computed.
    """

    metric = "loss"

    @checked
    def __init__(
        self, *, shots: Count = 10, queries: Count = 10, tests: Count = 100, device: torch.device | str = "cpu"
    ) -> None:
        self.shots, self.queries, self.tests, self.device = shots, queries, tests, as_device(device)

    def memory(self, n: int) -> int:
        return n * (self.shots + self.queries + self.tests) * 2 * 4  # x and y, float32

    @checked
    def sample(self, n: Count, rng: np.random.Generator) -> SinusoidTasks:
        amplitude = rng.uniform(0.1, 5.0, (n, 1, 1))
        phase = rng.uniform(0.0, math.pi, (n, 1, 1))
        x = rng.uniform(-5.0, 5.0, (n, self.shots + self.queries + self.tests, 1))
        points = np.stack([x, amplitude * np.sin(x - phase)]).astype(np.float32)
        return SinusoidTasks(Samples(*torch.from_numpy(points).to(self.device)), self.shots, self.queries)
