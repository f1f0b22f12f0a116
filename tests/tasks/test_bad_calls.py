"""Bad calls of data sets and supervised tasks: each raises ValueError in one line that names what is wrong."""

from __future__ import annotations

import re

import pytest
from bad_calls import CALLS, Call


@pytest.mark.parametrize("call", CALLS, ids=[call.name for call in CALLS])
def test_bad_calls_are_named(call: Call) -> None:
    with pytest.raises(ValueError, match=re.compile(call.message)) as error:
        call.call()
    assert len(str(error.value).splitlines()) == 1
    assert len(str(error.value)) < 400 or "xxx" in str(error.value)
