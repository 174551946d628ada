"""Small state files that are either the old ones or the new ones, also after a power cut or on a full disk."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

PARTIAL = ".partial"
"""Ends the name of what is being written; a power cut may leave such a file behind."""


def replace_file(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write `data` beside `path`, sync it to the disk, and put it in its place. Raises OSError; `path` is as before."""
    partial = path.with_name(f"{path.name}{PARTIAL}")
    try:
        with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError:
        with contextlib.suppress(OSError):
            partial.unlink()  # a full disk must not fill up with halves
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the new name itself
    finally:
        os.close(folder)
