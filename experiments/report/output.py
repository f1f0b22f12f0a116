"""Files that a command was asked to write: checked before the work begins, and they appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from metarl.files import file_kind
from metarl.run.folder import CONFIG, owner


def check_output(out: Path, suffixes: Sequence[str]) -> Path:
    """The file that `out` names, or the link there leads to. Raises ValueError where it cannot be written.

    Its name must end in one of `suffixes` (lower case, with the dot) and its folder must exist and be writable. A
    regular file there will be replaced, but no device, no pipe and none of the files that a run folder needs. A link
    in a run folder is refused: who made the run may have laid it.
    """
    if out.suffix.lower() not in suffixes:
        raise ValueError(f"cannot write {out}: its name must end in one of {', '.join(suffixes)}")
    target = Path(os.path.realpath(out))
    if target.exists() and not target.is_file():
        raise ValueError(f"cannot write {out}: it is {file_kind(target.stat().st_mode)}, choose another name")
    if target.suffix.lower() not in suffixes:
        raise ValueError(f"cannot write {out}: it leads to {target}, whose name ends in none of {', '.join(suffixes)}")
    if out.is_symlink() and (out.parent / CONFIG).exists():
        raise ValueError(f"cannot write {out}: it is a link in a run folder, remove it or choose another name")
    if not target.parent.is_dir():
        raise ValueError(f"cannot write {out}: its folder does not exist, make it first")
    if not os.access(target.parent, os.W_OK):
        raise ValueError(f"cannot write {out}: its folder cannot be written to")
    if (run := owner(target)) is not None:
        raise ValueError(f"cannot write {out}: the run in {run} needs that file, choose another name")
    return target
