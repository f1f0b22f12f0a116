"""MuJoCo and what draws it, imported so that no file of the current directory is run.

glfw, a part of both, starts `python -c` once for each of its libraries to ask for the version, and such a process finds
modules in the current directory first: a `ctypes.py` there would be executed.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def safe_path() -> Iterator[None]:
    """Keep the current directory out of the module paths of Python processes started within, if the user has not."""
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = before or "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONSAFEPATH"]
        else:
            os.environ["PYTHONSAFEPATH"] = before


with safe_path():
    import mujoco  # noqa: F401
