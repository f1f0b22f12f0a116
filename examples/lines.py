"""A user-defined task distribution: lines y = a·x + b, given by ten noisy points, with Reptile as the outer loop."""

import numpy as np
import torch

import metarl as ml
from metarl.losses import Samples


class Lines(ml.Distribution):
    """Lines with slopes and intercepts ~ N(0, 1), and points x ~ U[−1, 1] with noise of standard deviation `noise`."""

    metric = "loss"

    def __init__(self, *, noise: float = 0.1) -> None:
        self.noise = noise

    def sample(self, n: int, rng: np.random.Generator) -> ml.Tasks:
        return LineTasks(torch.from_numpy(rng.normal(size=(2, n, 1, 1))).float(), self.noise, rng)


class LineTasks(ml.Tasks):
    """A meta-batch of n lines with the coefficients `ab` [2, n, 1, 1]."""

    def __init__(self, ab: torch.Tensor, noise: float, rng: np.random.Generator) -> None:
        self.n, self.ab, self.noise, self.rng = ab.shape[1], ab, noise, rng

    def draw(self) -> Samples:
        x, noise = self.rng.uniform(-1, 1, (self.n, 10, 1)), self.noise * self.rng.normal(size=(self.n, 10, 1))
        x, noise = torch.from_numpy(x).float(), torch.from_numpy(noise).float()
        return Samples(x, self.ab[0] * x + self.ab[1] + noise)

    def support(self, predict, step):
        return self.draw()

    def query(self, predict):
        return self.draw()

    def score(self, predict):
        batch = self.draw()
        return (predict(batch.x) - batch.y).square().mean((1, 2))


if __name__ == "__main__":  # so that `metarl evaluate runs/lines`, in this folder, can import Lines
    learner = ml.MAML(ml.nets.MLP(1, 1), ml.losses.mse, steps=5, lr=0.05)
    run = ml.fit(ml.Reptile(learner, lr=0.5), Lines(), iterations=1000, meta_batch=10, out="runs/lines")
    print(ml.evaluate(run.learner, Lines(), steps=5, num_tasks=200).mean(axis=1))
