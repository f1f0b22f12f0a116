"""The runs that are damaged, stopped and killed: each kind of training, as small as it gets."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np
from commands import Server
from PIL import Image

COMMON = ("--torch-threads", "1", "--threads", "1", "--test-tasks", "3", "--validation-tasks", "3", "--keep", "0")
WALK = ("--task.horizon", "10", "--meta-batch", "2")
EPISODES = ("--task.trajectories", "2")
IMAGES = (
    "omniglot-small-5way-1shot-protonet", "--task.images", "folder", "--task.queries", "2", "--task.train-queries", "2",
    "--task.train-ways", "5", "--task.shift", "0", "--task.warp", "0", "--meta-batch", "1", "--log-every", "3",
)  # fmt: skip
KINDS: dict[str, tuple[str, ...]] = {
    "sinusoid": ("sinusoid-maml", "--log-every", "1", "--meta-batch", "2"),
    "half-cheetah": ("half-cheetah-vel-maml", *WALK, *EPISODES),
    "pre-trained ProtoNet": (*IMAGES, "--task.pretraining", "12", "--task.filters", "2"),
    "long pre-training": (*IMAGES, "--task.pretraining", "110", "--task.architecture", "mlp"),
    "PPO": ("point-nav-2017-pretrained", *WALK),
    "guided": ("point-nav-2017-gmps", *WALK, *EPISODES),
    "point": ("point-nav-2017-maml", *WALK, *EPISODES),
    "oracle": ("point-nav-2017-oracle", *WALK, *EPISODES),
}


LONGER = {"sinusoid": 40, "half-cheetah": 12, "pre-trained ProtoNet": 12, "PPO": 12, "guided": 8}  # iterations


class Runs:
    """Makes runs in `folder` by way of `server`; finished ones are made once and copied."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server, self.folder = server, folder
        self.made: dict[tuple[str, int], Path] = {}
        self.measured: dict[str, tuple[float, tuple[bytes, bytes]]] = {}

    def stopped(self, kind: str, run: Path) -> list[str]:
        """The command that goes on with a run of `LONGER` in `run`, or begins it where there is none to go on with."""
        if (run / "config.json").exists():
            return ["train", "--resume", str(run)]
        return self.command(kind, run, iterations=LONGER[kind])

    def command(self, kind: str, out: Path, *, iterations: int = 6, every: int = 2) -> list[str]:
        """`metarl train …` of a kind of run."""
        args = ["train", *KINDS[kind], *COMMON, "--iterations", str(iterations), "--checkpoint-every", str(every)]
        if IMAGES[0] in KINDS[kind]:
            args += ["--data", str(self.images())]
        if kind == "guided":
            args += ["--expert", str(self.finished("oracle"))]
        return [*args, "--out", str(out)]

    def finished(self, kind: str, *, iterations: int = 6) -> Path:
        """A run that was never stopped; not to be changed."""
        if (kind, iterations) not in self.made:
            path = self.folder / f"{kind}-{iterations}"
            outcome = self.server.run(*self.command(kind, path, iterations=iterations), limit=300)
            assert outcome.kind == "done", outcome
            self.made[kind, iterations] = path
        return self.made[kind, iterations]

    def evaluated(self, kind: str) -> Path:
        """A finished run with an evaluation.json and a validation.json; not to be changed."""
        path = self.finished(kind)
        if not (path / "evaluation.json").exists():
            args = ("evaluate", path, "--checkpoint", "best", "--steps", "1", "--json", path / "evaluation.json")
            outcome = self.server.run(*args)
            assert outcome.kind == "done", outcome
        return path

    def whole(self, kind: str) -> tuple[float, tuple[bytes, bytes]]:
        """How long a run of `LONGER` takes that nobody stops, and what it leaves."""
        if kind not in self.measured:
            path, begin = self.folder / f"whole {kind}", time.monotonic()
            outcome = self.server.run(*self.command(kind, path, iterations=LONGER[kind]), limit=300)
            assert outcome.kind == "done", outcome
            self.measured[kind] = time.monotonic() - begin, result(path)
        return self.measured[kind]

    def copy(self, kind: str, path: Path, *, evaluated: bool = True) -> Path:
        """Such a run to do with as one likes, at `path`."""
        shutil.copytree(self.evaluated(kind) if evaluated else self.finished(kind), path, symlinks=True)
        return path

    def link(self, kind: str, path: Path) -> None:
        """A finished run at `path`, which nobody will change."""
        path.symlink_to(self.finished(kind), target_is_directory=True)

    def again(self, kind: str, path: Path) -> None:
        """The same as a finished run, but another one."""
        assert self.server.run(*self.command(kind, path)).kind == "done"

    def images(self) -> Path:
        """A data set of noisy patterns in class folders: train, val and test with seven classes of six images each."""
        folder = self.folder / "images"
        if not folder.exists():
            rng = np.random.default_rng(0)
            for split in ("train", "val", "test"):
                for c in range(7):
                    pattern = 200 * (rng.random((28, 28)) < 0.3)
                    (place := folder / split / f"{split}{c}").mkdir(parents=True)
                    for i in range(6):
                        image = (pattern + rng.integers(0, 40, (28, 28))).astype(np.uint8)
                        Image.fromarray(image).save(place / f"{i}.png")
        return folder


def result(path: Path) -> tuple[bytes, bytes]:
    """What a run that ended left: its last weights and its progress."""
    last = max(p for p in (path / "checkpoints").iterdir() if p.name.isdecimal())
    return (last / "weights.safetensors").read_bytes(), (path / "progress.csv").read_bytes()


def drafts(path: Path) -> list[str]:
    """What was half written, anywhere below `path`."""
    return [str(p) for p in path.rglob("*") if ".draft" in p.name]
