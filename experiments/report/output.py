"""Checks of the output files of a command, which are made before the command starts its work."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from metarl.files import file_kind
from metarl.run.folder import CONFIG, owner


def check_output(out: Path, suffixes: Sequence[str]) -> Path:
    """The path `out`, with links resolved. Raises ValueError if a file cannot be written there.

    The name must end in one of `suffixes` (lower case, with the dot), and the folder must exist and be writable. An
    existing regular file may be replaced, but not a device, a pipe or a file that a run folder needs. Links in run
    folders are refused, because a run folder may come from somebody else.
    """
    if out.suffix.lower() not in suffixes:
        raise ValueError(f"cannot write {out}: its name must end in one of {', '.join(suffixes)}")
    target = Path(os.path.realpath(out))
    if target.exists() and not target.is_file():
        raise ValueError(f"cannot write {out}: it is {file_kind(target.stat().st_mode)}, choose another name")
    if target.suffix.lower() not in suffixes:
        raise ValueError(f"cannot write {out}: it links to {target}, whose name ends in none of {', '.join(suffixes)}")
    if out.is_symlink() and (out.parent / CONFIG).exists():
        raise ValueError(f"cannot write {out}: it is a link in a run folder, remove it or choose another name")
    if not target.parent.is_dir():
        raise ValueError(f"cannot write {out}: its folder does not exist, create it first")
    if not os.access(target.parent, os.W_OK):
        raise ValueError(f"cannot write {out}: its folder is not writable, choose another one")
    if (run := owner(target)) is not None:
        raise ValueError(f"cannot write {out}: the run in {run} needs that file, choose another name")
    return target
