"""The bad calls of the library that tests beside this folder list, in one table."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

TESTS = Path(__file__).parent.parent
sys.path += [str(TESTS / name) for name in ("envs", "rl", "learners", "algorithms", "tasks", "experiments")]

import bad_calls  # noqa: E402
import test_bad_environment_calls as environments  # noqa: E402
import test_bad_learners as learners  # noqa: E402
import test_bad_outer_loops as outer_loops  # noqa: E402
import test_bad_rollout_calls as rollouts  # noqa: E402


@dataclass(frozen=True)
class Call:
    """A call, and a regular expression that is found in what it is refused with."""

    name: str
    call: Callable[[], object]
    message: str

    def __str__(self) -> str:
        return self.name


def calls() -> Iterator[Call]:
    for module, tables in (
        (environments, ("WORLDS", "REGISTERING", "SINGLE", "VECTOR", "BASELINES")),
        (rollouts, ("DISTRIBUTION", "GUIDANCE", "LOSSES", "POLICY")),
    ):
        for table in tables:
            for name, (call, words) in getattr(module, table).items():
                yield Call(f"{table.lower()}: {name}", call, re.escape(words))
    for kind, table in (("learner", learners.CALLS), ("outer loop", outer_loops.CALLS)):
        for name, (call, message) in table.items():
            yield Call(f"{kind}: {name}", call, message)
    for case in outer_loops.SETTINGS:
        name, setting, value = case.values
        yield Call(
            f"outer loop: {case.id}", partial(outer_loops.MAKE[name], **{setting: value}), f"^{setting} is .*: give "
        )
    for bad in bad_calls.CALLS:
        yield Call(f"tasks: {bad.name}", bad.call, bad.message)


CALLS = list(calls())
