"""Damaged data folders: each is refused in one line that names what is wrong, without a hang."""

from __future__ import annotations

import re

import pytest
from bad_data import READ, Case, attempt, good
from bad_data_cases import CASES


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_damaged_data_are_named(case: Case) -> None:
    message = attempt(case)
    assert re.search(case.message, message), message
    assert len(message.splitlines()) == 1


def test_the_table_is_long_and_its_good_data_are_read() -> None:
    assert len(CASES) == len({case.name for case in CASES}) >= 60
    for kind, read in READ.items():
        read(good(kind))
