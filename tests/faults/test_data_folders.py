"""Damaged data folders: each is refused in one line that names what is wrong."""

import re
from collections.abc import Callable

import library_calls  # noqa: F401  (which finds the tables)
import pytest
from bad_data import Case, attempt
from bad_data_cases import CASES
from pickle_fuzz import fuzz
from sampling import ALL, sampled


def test_there_are_as_many_as_there_should_be() -> None:
    assert len(CASES) >= 60


@pytest.mark.parametrize("case", sampled(CASES, 20), ids=lambda case: case.name)
def test_a_damaged_data_folder(case: Case, label: Callable[[str], None]) -> None:
    found = "traceback"
    try:
        message = attempt(case)
        clear = len(message.splitlines()) == 1 and re.search(case.message, message)
        found = "refused" if clear else "unclear"
    except TimeoutError:
        found = "hang"
    except AssertionError:
        found = "silent"
    finally:
        label(found)
    assert found == "refused"


def test_pickles_of_a_thousand_kinds_do_not_crash() -> None:
    count = 10_000 if ALL else 300
    found = fuzz(count, seed=1)
    assert sum(found.values()) == count
    assert found["refused"] > count // 2
