"""Bad calls of the library, all tables at once: each raises ValueError in one line, within seconds."""

import re
import signal
from collections.abc import Callable
from types import FrameType

import pytest
from library_calls import CALLS, Call
from sampling import sampled

LIMIT = 30  # seconds


def test_there_are_as_many_as_there_should_be() -> None:
    assert len(CALLS) >= 150


@pytest.mark.parametrize("call", sampled(CALLS, 25), ids=str)
@pytest.mark.filterwarnings("ignore:Evaluation environment is not wrapped")
def test_a_bad_call(call: Call, label: Callable[[str], None]) -> None:
    found = outcome(call)
    label(found.partition(":")[0] if found.startswith(("refused", "hang", "silent", "unclear")) else "traceback")
    assert found == "refused"


def outcome(call: Call) -> str:
    def stop(number: int, frame: FrameType | None) -> None:
        raise TimeoutError

    old = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LIMIT)
    try:
        call.call()
    except ValueError as error:
        clear = len(str(error).splitlines()) == 1 and re.search(call.message, str(error))
        return "refused" if clear else f"unclear: {error}"
    except TimeoutError:
        return "hang"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, old)
    return "silent"
