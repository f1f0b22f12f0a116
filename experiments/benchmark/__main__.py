"""The command `python -m metarl.experiments.benchmark NAME [--json FILE]`, which runs a benchmark."""

from __future__ import annotations

import json
import shlex
import sys

from metarl.experiments.benchmark.accuracy import Accuracy
from metarl.experiments.benchmark.iteration import Iteration
from metarl.experiments.benchmark.measure import machine
from metarl.experiments.benchmark.optimizers import Optimizers
from metarl.experiments.benchmark.sampling import Sampling
from metarl.experiments.benchmark.scaling import Scaling
from metarl.experiments.benchmark.supervised import Supervised
from metarl.experiments.benchmark.update import Update
from metarl.experiments.options import read_options
from metarl.experiments.report.output import check_output
from metarl.files import write_text

PROGRAM = "python -m metarl.experiments.benchmark"
Benchmark = Sampling | Update | Supervised | Iteration | Scaling | Accuracy | Optimizers


def main(args: list[str] | None = None) -> None:
    """Run one benchmark and print its results; `--json FILE` also writes them to a file."""
    args = sys.argv[1:] if args is None else args
    try:
        benchmark = read_options(Benchmark, args, PROGRAM)
        file = None if benchmark.json is None else check_output(benchmark.json, (".json",))
        reports = benchmark.run()
        for report in reports:
            report.show()
        if file is not None:
            command = shlex.join([*PROGRAM.split(), *args])
            result = {"command": command, "machine": machine(), "reports": [report.as_json() for report in reports]}
            write_text(file, json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    except (ValueError, OSError) as error:
        print("error: " + " ".join(str(error).splitlines()), file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
