"""How much of a table a test runs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeVar

Case = TypeVar("Case")
ALL = os.environ.get("METARL_FAULTS") == "all"


def sampled(cases: Sequence[Case], every: int = 10) -> list[Case]:
    """All of the cases with METARL_FAULTS=all, else every `every`-th."""
    return list(cases if ALL else cases[::every])
