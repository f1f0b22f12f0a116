"""Random numbers for random rewards and transitions, with a separate stream for each sub-environment."""

import numpy as np

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
FIRST, SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


class RandomStreams:
    """N streams of random numbers, each of which is determined by its seed, so that seeds can be states of episodes.

    The generator is SplitMix64 (Steele, Lea and Flood 2014, Fast Splittable Pseudorandom Number Generators, figure 16).
    """

    def __init__(self, n: int) -> None:
        self.state = np.zeros(n, np.uint64)

    @staticmethod
    def seeds(n: int, rng: np.random.Generator) -> np.ndarray:
        """Seeds [n] of n streams, which can be written into `state`."""
        return rng.integers(2**64, size=n, dtype=np.uint64)

    def integers(self, alive: np.ndarray | None) -> np.ndarray:
        """The next 64 bits of every stream, [N] uint64. Streams that are not `alive` do not advance."""
        self.state += GOLDEN if alive is None else GOLDEN * alive.astype(np.uint64)
        mixed = (self.state ^ (self.state >> 30)) * FIRST
        mixed = (mixed ^ (mixed >> 27)) * SECOND
        return mixed ^ (mixed >> 31)

    def uniform(self, alive: np.ndarray | None) -> np.ndarray:
        """Uniform random numbers in [0, 1), [N] float64."""
        return (self.integers(alive) >> 11) * 2.0**-53

    def normal(self, alive: np.ndarray | None) -> np.ndarray:
        """Standard normal random numbers, [N] float64 (Box and Muller 1958)."""
        radius = np.sqrt(-2.0 * np.log1p(-self.uniform(alive)))
        return radius * np.cos(2.0 * np.pi * self.uniform(alive))
