"""`python -m metarl.experiments.benchmark NAME [--json FILE]`."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import tyro

from metarl.experiments.benchmark.accuracy import Accuracy
from metarl.experiments.benchmark.iteration import Iteration
from metarl.experiments.benchmark.measure import machine
from metarl.experiments.benchmark.sampling import Sampling
from metarl.experiments.benchmark.scaling import Scaling
from metarl.experiments.benchmark.supervised import Supervised
from metarl.experiments.benchmark.update import Update
from metarl.files import write_text

Benchmark = Sampling | Update | Supervised | Iteration | Scaling | Accuracy


def main(args: list[str] | None = None) -> None:
    """Run one benchmark, print it and, with `--json FILE`, keep it."""
    args = sys.argv[1:] if args is None else args
    try:
        benchmark = tyro.cli(Benchmark, args=args, prog="python -m metarl.experiments.benchmark")
        check(benchmark.json)
        reports = benchmark.run()
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    for report in reports:
        report.show()
    if benchmark.json is not None:
        command = shlex.join(["python", "-m", "metarl.experiments.benchmark", *args])
        result = {"command": command, "machine": machine(), "reports": [report.as_json() for report in reports]}
        write_text(benchmark.json, json.dumps(result, indent=2, ensure_ascii=False) + "\n")


def check(path: Path | None) -> None:
    """Raise ValueError before the work where its result could not be written."""
    if path is not None and not path.resolve().parent.is_dir():
        raise ValueError(f"cannot write {path}: its folder does not exist, make it first")


if __name__ == "__main__":
    main()
