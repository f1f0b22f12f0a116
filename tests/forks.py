"""Run a function in a forked process, as a DataLoader's workers are."""

from __future__ import annotations

import multiprocessing
import warnings
from collections.abc import Callable

LIMIT = 60.0  # seconds


def in_child(function: Callable[[], object]) -> None:
    """Call `function` in a child of this process; AssertionError where it fails, hangs or does not end."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of forks beside threads
        child = multiprocessing.get_context("fork").Process(target=function)
        child.start()
    child.join(LIMIT)
    hangs = child.exitcode is None
    if hangs:
        child.kill()
        child.join()
    assert not hangs, f"the child hung for {LIMIT} s"
    assert child.exitcode == 0, "the child failed; its error stands above"
