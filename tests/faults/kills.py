"""When runs are killed: for each kind, how often, and in which part of the time that the run takes."""

from __future__ import annotations

import random
from dataclasses import dataclass

TIMES = {"sinusoid": 30, "half-cheetah": 20, "pre-trained ProtoNet": 20, "PPO": 15, "guided": 15}


@dataclass(frozen=True)
class Case:
    """A run of a kind that is killed at these shares of its time: at the first from its start, then in going on."""

    kind: str
    moments: tuple[float, ...]

    def __str__(self) -> str:
        return f"{self.kind} at {', '.join(f'{moment:.3f}' for moment in self.moments)}"


def cases() -> list[Case]:
    """One kill, two or three in a row, by turns, until each kind was killed as often as `TIMES` says."""
    rng, found = random.Random(0), []
    for kind, times in TIMES.items():
        left, turn = times, 0
        while left:
            count = min(left, (1, 2, 3, 1)[turn % 4])
            found.append(Case(kind, tuple(rng.random() for _ in range(count))))
            left, turn = left - count, turn + 1
    return found


CASES = cases()
