"""Random numbers within episodes: a stream of its own for every sub-environment, all drawn at once."""

import numpy as np

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
FIRST, SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


class Chance:
    """N streams of random numbers; a stream follows from its seed alone, so that seeds are the state of an episode.

    SplitMix64 (Steele, Lea and Flood 2014, Fast Splittable Pseudorandom Number Generators, figure 16).
    """

    def __init__(self, n: int) -> None:
        self.state = np.zeros(n, np.uint64)

    @staticmethod
    def seeds(n: int, rng: np.random.Generator) -> np.ndarray:
        """Seeds [n] of as many streams, to be written into `state`."""
        return rng.integers(2**64, size=n, dtype=np.uint64)

    def integers(self, alive: np.ndarray | None) -> np.ndarray:
        """The next 64 bits of every stream, [N] uint64; streams that are not alive stay where they are."""
        self.state += GOLDEN if alive is None else GOLDEN * alive.astype(np.uint64)
        mixed = (self.state ^ (self.state >> 30)) * FIRST
        mixed = (mixed ^ (mixed >> 27)) * SECOND
        return mixed ^ (mixed >> 31)

    def uniform(self, alive: np.ndarray | None) -> np.ndarray:
        """Numbers from 0 up to but not 1, [N] float64."""
        return (self.integers(alive) >> 11) * 2.0**-53

    def normal(self, alive: np.ndarray | None) -> np.ndarray:
        """Numbers of the standard normal distribution, [N] float64 (Box and Muller 1958)."""
        radius = np.sqrt(-2.0 * np.log1p(-self.uniform(alive)))
        return radius * np.cos(2.0 * np.pi * self.uniform(alive))
