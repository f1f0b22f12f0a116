"""The import of MuJoCo and its renderer in such a way that no file of the current directory is executed.

Both import glfw, which runs `python -c` to determine the versions of libraries. Such a process looks for modules in the
current directory first, so that a file `ctypes.py` there would be executed.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def safe_path() -> Iterator[None]:
    """In this context, Python processes that are started do not look for modules in the current directory."""
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
