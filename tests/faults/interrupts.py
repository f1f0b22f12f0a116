"""Signals at random moments, and streams that are closed, full or know few letters."""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator
from dataclasses import dataclass

INT, TERM, HUP = signal.SIGINT, signal.SIGTERM, signal.SIGHUP
TWICE = (INT, INT)


@dataclass(frozen=True)
class Case:
    """A command of `test_interrupts.command` that gets `signals` after `after` seconds, `apart` apart.

    In training `after` is a share of the time that the run takes.
    """

    what: str
    signals: tuple[signal.Signals, ...]
    after: float
    apart: float = 0.0
    kind: str = "sinusoid"

    def __str__(self) -> str:
        return f"{self.what} {self.kind} {'+'.join(s.name for s in self.signals)} after {self.after:.2f}"


def cases() -> Iterator[Case]:
    rng = random.Random(0)
    for kind in ("sinusoid", "half-cheetah", "PPO", "guided", "pre-trained ProtoNet"):
        for signals in ((INT,), (TERM,), (HUP,), TWICE, (TERM, TERM), (INT, HUP)):
            yield Case("train", signals, rng.random(), rng.choice((0.0, 0.002, 0.05)), kind)
    for kind in ("sinusoid", "half-cheetah"):
        for i in range(10):
            yield Case("evaluate", TWICE, rng.uniform(0.05, 1.5), (0.0, 0.01, 0.1, 0.3)[i % 4], kind)
    for what, most in (("compare", 0.6), ("plot", 0.6), ("video", 3.0), ("reproduce", 2.0)):
        for signals in ((INT,), TWICE, (TERM,), TWICE):
            kind = "half-cheetah" if what == "video" else "sinusoid"
            yield Case(what, signals, rng.uniform(0.05, most), rng.choice((0.0, 0.02, 0.2)), kind)


CASES = list(cases())


@dataclass(frozen=True)
class Pipe:
    """A line of shell in which `metarl` is the program, RUN a finished run and NEW the place of a new one."""

    command: str
    statuses: tuple[int, ...]
    words: str = ""

    def __str__(self) -> str:
        return self.command


TRAIN = "metarl train sinusoid-maml --iterations 6 --meta-batch 2 --out NEW"
PIPES = [
    Pipe("metarl list | head -1", (0, 141)),
    Pipe("metarl --help | true", (0, 141)),
    Pipe("metarl train sinusoid-maml --help | head -3", (0, 141), "usage"),
    Pipe("metarl evaluate RUN --steps 1 | true", (0, 141)),
    Pipe("metarl compare RUN | head -1", (0, 141)),
    Pipe(f"{TRAIN} 2>&1 | head -1", (0, 141)),
    Pipe(f"{TRAIN} | true; test -d NEW/checkpoints/00000006", (0,)),
    Pipe("metarl list >&-", (0,)),
    Pipe("metarl evaluate RUN --steps 1 >&- 2>&-", (0,)),
    Pipe(f"{TRAIN} >&- 2>&- <&-; test -d NEW/checkpoints/00000006", (0,)),
    Pipe(f"{TRAIN} 2>/dev/full; test -d NEW/checkpoints/00000006", (0,)),
    Pipe("metarl train no-such-preset 2>&-", (2,)),
    Pipe("metarl train no-such-preset 2>/dev/full", (2,)),
    Pipe("metarl list > /dev/full", (2,), "No space left on device"),
    Pipe("metarl evaluate RUN --steps 1 > /dev/full", (2,), "No space left on device"),
    Pipe("metarl --help > /dev/full", (2,), "No space left on device"),
    Pipe("PYTHONIOENCODING=ascii metarl list", (0,), "preset"),
    Pipe("PYTHONIOENCODING=ascii metarl evaluate RUN --steps 1", (0,), "+-"),
    Pipe("PYTHONIOENCODING=ascii metarl evaluate nö-folder", (2,), "error: "),
    Pipe("PYTHONIOENCODING=latin-1 metarl compare RUN", (0,), "sinusoid-maml"),
    Pipe(f"PYTHONIOENCODING=ascii {TRAIN}", (0,), "trained"),
    Pipe("LC_ALL=C PYTHONUTF8=0 metarl --help", (0,), "metarl train PRESET"),
]
